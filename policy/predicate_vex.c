#include "policy/predicate_vex.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/rfc3339.h"
#include "crypto/sjson.h"
#include "policy/predicate_setting.h"

enum vex_key { VEX_ACCEPT, VEX_UNDER_INVESTIGATION };

static const char *const vex_choices[] = {"deny", "allow", NULL};

const struct predicate_key predicate_vex_keys[] = {
    [VEX_ACCEPT] = {"accept", PREDICATE_TEXTS,
                    "Vulnerabilities that may affect the image, by name or alias.", NULL, 0, 0},
    [VEX_UNDER_INVESTIGATION] = {"under_investigation", PREDICATE_CHOICE,
                                 "Whether vulnerabilities under investigation are denied (default) "
                                 "or allowed.",
                                 vex_choices, 0, 0},
};
const size_t predicate_vex_key_count = GH_COUNT(predicate_vex_keys);

#define VEX_CONTEXT "https://openvex.dev/ns"
#define VEX_FUTURE_S 300

enum vex_status { VEX_NOT_AFFECTED, VEX_FIXED, VEX_INVESTIGATED, VEX_AFFECTED };

static const char *const vex_statuses[] = {
    [VEX_NOT_AFFECTED] = "not_affected",
    [VEX_FIXED] = "fixed",
    [VEX_INVESTIGATED] = "under_investigation",
    [VEX_AFFECTED] = "affected",
};

static const char *const vex_justifications[] = {
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
};

struct vex_statement {
    const json_t *doc;
    const json_t *products;
    struct bytes name; /* of the vulnerability */
    enum vex_status status;
    int64_t time;
};

static size_t vex_index(const char *const *names, size_t count, struct bytes text)
{
    size_t i = 0;

    while (i < count && !bytes_equal_cstr(text, names[i])) {
        i++;
    }
    return i;
}

/* Version 0.0 wrote the vulnerability as a string, later ones as an object. */
static struct bytes vex_vulnerability(const json_t *statement)
{
    const json_t *value = json_object_get(statement, "vulnerability");
    struct bytes name;

    if (json_is_string(value)) {
        return sjson_string(value);
    }
    name = predicate_text(value, "name");
    return name.len > 0 ? name : predicate_text(value, "@id");
}

static bool vex_read_statement(const json_t *doc, int64_t document_time, struct vex_statement *out,
                               struct gh_error *err)
{
    struct bytes status = predicate_text(doc, "status");
    struct bytes justification = predicate_text(doc, "justification");
    struct bytes time = predicate_text(doc, "timestamp");
    size_t index = vex_index(vex_statuses, GH_COUNT(vex_statuses), status);
    struct vex_statement statement = {.doc = doc, .time = document_time};

    statement.name = vex_vulnerability(doc);
    statement.products = json_object_get(doc, "products");
    if (statement.name.len == 0 || index == GH_COUNT(vex_statuses)) {
        return gh_fail(err, GH_VEX_INVALID,
                       "a VEX statement lacks its vulnerability or its status");
    }
    statement.status = (enum vex_status)index;
    if (justification.len > 0 && vex_index(vex_justifications, GH_COUNT(vex_justifications),
                                           justification) == GH_COUNT(vex_justifications)) {
        return gh_fail(err, GH_VEX_INVALID, "'%.*s' is no VEX justification",
                       (int)GH_MIN(justification.len, (size_t)80),
                       (const char *)justification.data);
    }
    if (statement.status == VEX_NOT_AFFECTED && justification.len == 0 &&
        predicate_text(doc, "impact_statement").len == 0) {
        return gh_fail(
            err, GH_VEX_INVALID, "not_affected by '%.*s' without justification or impact statement",
            (int)GH_MIN(statement.name.len, (size_t)80), (const char *)statement.name.data);
    }
    if ((statement.products != NULL && !json_is_array(statement.products)) ||
        json_array_size(statement.products) > PREDICATE_MAX_VEX_PRODUCTS ||
        (time.len > 0 && !rfc3339_parse(time, &statement.time))) {
        return gh_fail(err, GH_VEX_INVALID,
                       "products or timestamp of a VEX statement are not valid");
    }
    *out = statement;
    return true;
}

/* A digest that the product names: of its hashes, or in its package URL (sha256%3A…). */
static struct bytes vex_product_digest(const json_t *product)
{
    struct bytes hash = predicate_text_at(product, "/hashes/sha-256");
    struct bytes id = predicate_text(product, "@id");
    struct bytes purl = predicate_text_at(product, "/identifiers/purl");
    size_t at;

    if (hash.len > 0) {
        return hash;
    }
    purl = purl.len > 0 ? purl : id;
    at = bytes_find(purl, BYTES_LITERAL("@sha256%3A"));
    if (at != SIZE_MAX) {
        return bytes_slice(purl, at + strlen("@sha256%3A"), 64);
    }
    at = bytes_find(purl, BYTES_LITERAL("@sha256:"));
    return at != SIZE_MAX ? bytes_slice(purl, at + strlen("@sha256:"), 64) : bytes_make(NULL, 0);
}

/* Names and tags prove nothing; only a digest that is another one takes a statement away. */
static bool vex_is_about(const struct vex_statement *statement, const struct digest *subject)
{
    char wanted[2 * DIGEST_MAX_BYTES + 1];
    size_t count = json_array_size(statement->products);

    if (count == 0 || subject == NULL || subject->alg != DIGEST_SHA256) {
        return true;
    }
    bytes_hex_encode(digest_bytes(subject), wanted);
    for (size_t i = 0; i < count; i++) {
        struct bytes digest = vex_product_digest(json_array_get(statement->products, i));

        if (digest.len != 64 || bytes_equal_cstr(digest, wanted)) {
            return true;
        }
    }
    return false;
}

static bool vex_has_product(const struct vex_statement *statement, const json_t *product)
{
    for (size_t i = 0; i < json_array_size(statement->products); i++) {
        if (json_equal(json_array_get(statement->products, i), product)) {
            return true;
        }
    }
    return false;
}

/* Whether LATER takes back what EARLIER says: same vulnerability, each of its products, newer. */
static bool vex_supersedes(const struct vex_statement *later, const struct vex_statement *earlier,
                           int64_t now_unix_s)
{
    if (later->status >= VEX_INVESTIGATED || later->time <= earlier->time ||
        later->time > now_unix_s + VEX_FUTURE_S || !bytes_equal(later->name, earlier->name) ||
        (json_array_size(earlier->products) == 0 && json_array_size(later->products) != 0)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(earlier->products); i++) {
        if (!vex_has_product(later, json_array_get(earlier->products, i))) {
            return false;
        }
    }
    return true;
}

static bool vex_is_accepted(const struct predicate_setting *accept,
                            const struct vex_statement *statement)
{
    const json_t *aliases = sjson_pointer(statement->doc, "/vulnerability/aliases");

    if (predicate_setting_lists(accept, statement->name)) {
        return true;
    }
    for (size_t i = 0; i < json_array_size(aliases); i++) {
        const json_t *alias = json_array_get(aliases, i);

        if (json_is_string(alias) && predicate_setting_lists(accept, sjson_string(alias))) {
            return true;
        }
    }
    return false;
}

static bool vex_judge_statements(const struct predicate_check *check,
                                 const struct predicate_input *input,
                                 const struct vex_statement *statements, size_t count,
                                 struct gh_error *err)
{
    const struct predicate_setting *open = &check->settings[VEX_UNDER_INVESTIGATION];
    enum vex_status least = open->is_set && open->number == 1 ? VEX_AFFECTED : VEX_INVESTIGATED;

    for (size_t i = 0; i < count; i++) {
        const struct vex_statement *statement = &statements[i];
        bool is_over = statement->status < least || !vex_is_about(statement, input->subject) ||
                       vex_is_accepted(&check->settings[VEX_ACCEPT], statement);

        for (size_t j = 0; j < count && !is_over; j++) {
            is_over = vex_supersedes(&statements[j], statement, input->now_unix_s);
        }
        if (!is_over) {
            return gh_fail(err, GH_VULN_THRESHOLD_EXCEEDED, "VEX says %s for '%.*s'",
                           vex_statuses[statement->status],
                           (int)GH_MIN(statement->name.len, (size_t)100),
                           (const char *)statement->name.data);
        }
    }
    return true;
}

static void vex_statements_freep(struct vex_statement **statements)
{
    free(*statements);
}

bool predicate_vex_judge(const struct predicate_check *check, const struct predicate_input *input,
                         struct gh_error *err)
{
    GH_OWN(vex_statements_freep) struct vex_statement *statements = NULL;
    const json_t *list = json_object_get(input->predicate, "statements");
    size_t count = json_array_size(list);
    int64_t time;

    if (!bytes_starts_with(predicate_text(input->predicate, "@context"),
                           BYTES_LITERAL(VEX_CONTEXT)) ||
        predicate_text(input->predicate, "author").len == 0 || count == 0 ||
        !rfc3339_parse(predicate_text(input->predicate, "timestamp"), &time)) {
        return gh_fail(err, GH_VEX_INVALID,
                       "the OpenVEX document lacks context, author, timestamp or statements");
    }
    if (count > PREDICATE_MAX_VEX_STATEMENTS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "the VEX document has more than %d statements",
                       PREDICATE_MAX_VEX_STATEMENTS);
    }
    statements = calloc(count, sizeof(*statements));
    if (statements == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        GH_TRY(vex_read_statement(json_array_get(list, i), time, &statements[i], err));
    }
    return vex_judge_statements(check, input, statements, count, err);
}
