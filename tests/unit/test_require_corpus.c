/*
 * The signed images of the fixture corpus, judged by requirements alone: no registry, no policy
 * file. What needs either (registries that lie, children of an index) is counted as left out.
 * A named skip where the corpus is not here.
 */
#include "policy/require.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <unistd.h>

#include "crypto/key.h"
#include "crypto/manifest.h"
#include "crypto/pattern.h"
#include "crypto/sjson.h"
#include "crypto/trustroot.h"
#include "policy/predicate.h"

#define MAX_ITEMS 32
#define MAX_SIGNERS 4
#define NOW 1795219200 /* 2026-11-21 */

struct corpus {
    char root[512];
    json_t *cases;
    json_t *repositories;
};

struct signer_made {
    struct signer signer;
    struct signer_key key;
    struct trustroot *root;
    struct signer_claim claims[16];
};

struct items {
    struct evidence_item items[MAX_ITEMS];
    struct evidence_annotation annotations[MAX_ITEMS][16];
    struct bytes_buf blobs[MAX_ITEMS];
    struct manifest *manifests[MAX_ITEMS];
    size_t count;
    size_t manifest_count;
};

static bool read_file(const char *path, struct bytes_buf *out)
{
    FILE *file = fopen(path, "rb");
    long len;

    if (file == NULL) {
        return false;
    }
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    len = ftell(file);
    rewind(file);
    out->data = malloc((size_t)len + 1);
    out->len = (size_t)len;
    assert_int_equal(fread(out->data, 1, out->len, file), out->len);
    (void)fclose(file);
    return true;
}

static bool read_blob(const struct corpus *corpus, const char *digest, struct bytes_buf *out)
{
    char path[1024];

    (void)snprintf(path, sizeof(path), "%s/registry/blobs/sha256/%s", corpus->root, digest + 7);
    return read_file(path, out);
}

static bool open_corpus(struct corpus *corpus)
{
    static const char *const folders[] = {"/../../shared/fixtures", "/../../../shared/fixtures"};
    const char *data = getenv("GH_TEST_DATA");
    char path[1024];
    json_error_t error;

    for (size_t i = 0; data != NULL && i < GH_COUNT(folders); i++) {
        (void)snprintf(corpus->root, sizeof(corpus->root), "%s%s", data, folders[i]);
        (void)snprintf(path, sizeof(path), "%s/expected.json", corpus->root);
        if (access(path, R_OK) == 0) {
            corpus->cases = json_load_file(path, 0, &error);
            (void)snprintf(path, sizeof(path), "%s/registry/repos.json", corpus->root);
            corpus->repositories = json_load_file(path, 0, &error);
            return corpus->cases != NULL && corpus->repositories != NULL;
        }
    }
    return false;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static struct pattern *make_pattern(enum pattern_kind kind, const char *text)
{
    struct pattern *pattern = NULL;
    struct gh_error err = {0};

    assert_true(pattern_new(kind, bytes_of(text), &pattern, &err));
    return pattern;
}

static void load_root(const struct corpus *corpus, const json_t *policy, struct signer_made *made)
{
    struct gh_error err = {0};
    struct bytes_buf file = {0};
    char path[1024];

    (void)snprintf(path, sizeof(path), "%s/%s", corpus->root, text_of(policy, "trusted_root"));
    assert_true(read_file(path, &file));
    if (!trustroot_parse(bytes_view(&file), &made->root, &err)) {
        fail_msg("%s: %s", path, err.text);
    }
    made->signer.root = made->root;
    made->signer.root_fingerprint = *trustroot_fingerprint(made->root);
    made->signer.is_root_named = true;
    bytes_buf_done(&file);
}

static void make_key_signer(const struct corpus *corpus, const json_t *policy,
                            struct signer_made *made)
{
    const char *tlog = text_of(policy, "tlog");
    struct gh_error err = {0};
    struct bytes_buf file = {0};
    char path[1024];

    (void)snprintf(path, sizeof(path), "%s/%s", corpus->root, text_of(policy, "key"));
    assert_true(read_file(path, &file));
    assert_true(key_parse_pem(bytes_view(&file), &made->key.key, &err));
    made->key.source = (char *)"key";
    made->key.not_before_unix_s = INT64_MIN;
    made->key.not_after_unix_s = INT64_MAX;
    made->signer.type = SIGNER_KEYS;
    made->signer.keys = &made->key;
    made->signer.key_count = 1;
    made->signer.timestamp = SIGNER_OPTIONAL;
    if (json_object_get(policy, "trusted_root") != NULL) {
        load_root(corpus, policy, made);
        made->signer.tlog =
            tlog != NULL && strncmp(tlog, "require", 7) == 0 ? SIGNER_REQUIRED : SIGNER_OFF;
    }
    bytes_buf_done(&file);
}

static void snake(const char *in, char *out)
{
    /* As the corpus runner does: an underscore before a capital that begins a word. */
    for (size_t i = 0; in[i] != '\0'; i++) {
        bool is_upper = in[i] >= 'A' && in[i] <= 'Z';
        bool after_lower = i > 0 && !(in[i - 1] >= 'A' && in[i - 1] <= 'Z');
        bool before_lower = in[i + 1] >= 'a' && in[i + 1] <= 'z';

        if (is_upper && i > 0 && (after_lower || before_lower)) {
            *out++ = '_';
        }
        *out++ = is_upper ? (char)(in[i] + 32) : in[i];
    }
    *out = '\0';
}

static struct pattern *exact_or_searched(const json_t *policy, const char *exact, const char *regex)
{
    char text[1024];

    if (text_of(policy, regex) != NULL) {
        (void)snprintf(text, sizeof(text), ".*(?:%s).*", text_of(policy, regex));
        return make_pattern(PATTERN_REGEX, text);
    }
    return make_pattern(PATTERN_EXACT, text_of(policy, exact));
}

static void make_keyless_signer(const struct corpus *corpus, const json_t *policy,
                                struct signer_made *made)
{
    const json_t *require = json_object_get(policy, "require");
    struct signer *signer = &made->signer;
    const char *name;
    json_t *value;

    signer->type = SIGNER_KEYLESS;
    load_root(corpus, policy, made);
    signer->issuer =
        exact_or_searched(policy, "certificate_oidc_issuer", "certificate_oidc_issuer_regexp");
    signer->subject =
        exact_or_searched(policy, "certificate_identity", "certificate_identity_regexp");
    signer->tlog = json_is_false(json_object_get(require, "tlog")) ? SIGNER_OFF : SIGNER_REQUIRED;
    signer->timestamp = json_is_true(json_object_get(require, "signed_timestamp"))
                            ? SIGNER_REQUIRED
                            : SIGNER_OPTIONAL;
    signer->sct = json_is_false(json_object_get(require, "sct")) ? SIGNER_OFF : SIGNER_REQUIRED;
    signer->claims = made->claims;
    json_object_foreach (json_object_get(policy, "certificate_extensions"), name, value) {
        char *claim = malloc(128);

        snake(name, claim);
        made->claims[signer->claim_count].name = claim;
        made->claims[signer->claim_count++].pattern =
            make_pattern(PATTERN_EXACT, json_string_value(value));
    }
}

static void signer_done(struct signer_made *made)
{
    key_free(made->key.key);
    trustroot_free(made->root);
    pattern_free(made->signer.issuer);
    pattern_free(made->signer.subject);
    for (size_t i = 0; i < made->signer.claim_count; i++) {
        free((void *)made->claims[i].name);
        pattern_free(made->claims[i].pattern);
    }
}

static void items_done(struct items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        bytes_buf_done(&items->blobs[i]);
    }
    for (size_t i = 0; i < items->manifest_count; i++) {
        manifest_free(items->manifests[i]);
    }
}

static enum evidence_kind kind_of(struct bytes media_type)
{
    if (bytes_equal_cstr(media_type, "application/vnd.dev.cosign.simplesigning.v1+json")) {
        return EVIDENCE_COSIGN_SIGNATURE;
    }
    if (bytes_equal_cstr(media_type, "application/vnd.dsse.envelope.v1+json")) {
        return EVIDENCE_COSIGN_ATTESTATION;
    }
    return bytes_starts_with(media_type, BYTES_LITERAL("application/vnd.dev.sigstore.bundle"))
               ? EVIDENCE_BUNDLE
               : EVIDENCE_BROKEN;
}

static bool lists(const json_t *array, const char *wanted)
{
    size_t index;
    json_t *item;

    json_array_foreach (array, index, item) {
        if (strcmp(json_string_value(item), wanted) == 0) {
            return true;
        }
    }
    return false;
}

static void add_layer(const struct corpus *corpus, const json_t *repository, struct items *items,
                      const struct manifest_descriptor *layer)
{
    struct evidence_item *item = &items->items[items->count];
    char digest[DIGEST_MAX_TEXT];
    struct gh_error err = {0};
    const char *name;
    json_t *value;

    digest_format(&layer->digest, digest);
    if (kind_of(layer->media_type) == EVIDENCE_BROKEN) {
        return;
    }
    assert_true(items->count < MAX_ITEMS);
    item->kind = kind_of(layer->media_type);
    item->location = "corpus";
    item->digest = layer->digest;
    item->annotations = items->annotations[items->count];
    json_object_foreach ((json_t *)layer->annotations, name, value) {
        items->annotations[items->count][item->annotation_count].name = name;
        items->annotations[items->count][item->annotation_count++].value = json_string_value(value);
    }
    if (json_object_get(json_object_get(repository, "blobContent"), digest) != NULL ||
        lists(json_object_get(repository, "missingBlobs"), digest) ||
        !read_blob(corpus, digest, &items->blobs[items->count]) ||
        !digest_check(&layer->digest, bytes_view(&items->blobs[items->count]), &err)) {
        item->kind = EVIDENCE_BROKEN;
        item->failure.cause = lists(json_object_get(repository, "missingBlobs"), digest)
                                  ? GH_MALFORMED_MANIFEST
                                  : GH_DIGEST_MISMATCH;
    }
    item->blob = bytes_view(&items->blobs[items->count]);
    items->count++;
}

static void add_manifest(const struct corpus *corpus, const json_t *repository, struct items *items,
                         const char *digest)
{
    struct bytes_buf bytes = {0};
    struct manifest *manifest = NULL;
    struct gh_error err = {0};

    assert_true(read_blob(corpus, digest, &bytes));
    if (!manifest_parse(bytes_view(&bytes), NULL, &manifest, &err)) {
        items->items[items->count].kind = EVIDENCE_BROKEN;
        items->items[items->count].location = "manifest";
        items->items[items->count++].failure = err;
        bytes_buf_done(&bytes);
        return;
    }
    items->manifests[items->manifest_count++] = manifest;
    for (size_t i = 0; i < manifest->item_count; i++) {
        add_layer(corpus, repository, items, &manifest->items[i]);
    }
    bytes_buf_done(&bytes);
}

static void collect(const struct corpus *corpus, const json_t *repository, const char *digest,
                    struct items *items)
{
    static const char *const tails[] = {"sig", "att"};
    size_t index;
    json_t *referrer;

    json_array_foreach (json_object_get(json_object_get(repository, "referrers"), digest), index,
                        referrer) {
        add_manifest(corpus, repository, items, text_of(referrer, "digest"));
    }
    for (size_t i = 0; i < GH_COUNT(tails); i++) {
        char tag[160];
        const char *found;

        (void)snprintf(tag, sizeof(tag), "sha256-%s.%s", digest + 7, tails[i]);
        found = text_of(json_object_get(repository, "tags"), tag);
        if (found != NULL) {
            add_manifest(corpus, repository, items, found);
        }
    }
}

static struct predicate_where *make_where(const json_t *checks)
{
    struct predicate_condition conditions[16] = {0};
    struct predicate_test tests[16] = {0};
    char *operands[16] = {0};
    struct predicate_where *where = NULL;
    struct gh_error err = {0};
    size_t at = 0;
    size_t index;
    json_t *check;

    json_array_foreach (checks, index, check) {
        operands[index] = json_dumps(json_object_get(check, "value"), JSON_ENCODE_ANY);
        assert_true(predicate_op_by_name(text_of(check, "op"), &tests[index].op));
        tests[index].operand = bytes_of(operands[index]);
        conditions[index].path = text_of(check, "pointer") + strlen("/predicate");
        conditions[index].tests = &tests[index];
        conditions[index].test_count = 1;
    }
    if (json_array_size(checks) > 0) {
        assert_true(predicate_where_new(conditions, json_array_size(checks), &where, &at, &err));
    }
    for (size_t i = 0; i < json_array_size(checks); i++) {
        free(operands[i]);
    }
    return where;
}

static void fill_require(const json_t *policy, struct require *require, struct require_pair *pairs,
                         char **types)
{
    const char *name;
    json_t *value;

    require->annotations = pairs;
    json_object_foreach (json_object_get(policy, "annotations"), name, value) {
        pairs[require->annotation_count].name = (char *)name;
        pairs[require->annotation_count++].value = (char *)json_string_value(value);
    }
    if (strcmp(text_of(policy, "type"), "cosign-attestation") == 0) {
        types[0] = (char *)text_of(policy, "predicate_type");
        require->kind = REQUIRE_ATTESTATION;
        require->predicate_types = types;
        require->predicate_type_count = 1;
        require->predicate_name = types[0];
        require->where = make_where(json_object_get(policy, "checks"));
    }
}

/* The verdict of one policy leaf. */
static struct verdict *judge_leaf(const struct corpus *corpus, const json_t *policy,
                                  const struct evidence_subject *subject,
                                  const struct evidence_set *set, int64_t now)
{
    struct signer_made made = {.signer = {.name = (char *)"corpus"}};
    struct require_pair pairs[16];
    char *types[1];
    struct require require = {.kind = REQUIRE_SIGNATURE, .signer = &made.signer};
    struct require_input input = {.require = &require,
                                  .subject = subject,
                                  .evidence = set,
                                  .now_unix_s = now,
                                  .max_candidates = 50};
    struct evidence_wants wants = {0};
    struct require_other other;
    struct verdict *verdict = NULL;

    if (text_of(policy, "key") != NULL) {
        make_key_signer(corpus, policy, &made);
    } else {
        make_keyless_signer(corpus, policy, &made);
    }
    fill_require(policy, &require, pairs, types);
    assert_int_equal(require_verify(&input, &verdict, &wants, &other), REQUIRE_DONE);
    assert_non_null(verdict);
    predicate_where_free(require.where);
    signer_done(&made);
    return verdict;
}

static struct verdict *judge(const struct corpus *corpus, const json_t *policy,
                             const struct evidence_subject *subject, const struct evidence_set *set,
                             int64_t now)
{
    const char *type = text_of(policy, "type");
    struct verdict *shown = NULL;
    size_t index;
    json_t *part;

    if (strcmp(type, "all") != 0 && strcmp(type, "any") != 0) {
        return judge_leaf(corpus, policy, subject, set, now);
    }
    json_array_foreach (json_object_get(policy, "of"), index, part) {
        struct verdict *verdict = judge(corpus, part, subject, set, now);
        bool is_good = verdict->outcome == VERDICT_SATISFIED;

        if (shown == NULL || is_good == (strcmp(type, "any") == 0)) {
            verdict_unref(shown);
            shown = verdict_ref(verdict);
        }
        verdict_unref(verdict);
    }
    return shown;
}

static bool is_left_out(const struct corpus *corpus, const json_t *item, const json_t *repository)
{
    const json_t *policy = json_object_get(item, "policy");
    const json_t *entry =
        json_object_get(json_object_get(repository, "manifests"), text_of(item, "digest"));

    return strncmp(text_of(item, "category"), "cosign", 6) != 0 ||
           json_object_get(policy, "index_children") != NULL ||
           json_object_get(entry, "content") != NULL;
}

static const char *coarser(const char *reason)
{
    static const char *const rows[][2] = {
        {"timestamp_missing", "timestamp_invalid"},
        {"cert_untrusted", "untrusted_key"},
        {"signature_expired", "cert_expired"},
        {"key_expired", "cert_expired"},
        {"key_revoked", "cert_revoked"},
        {"not_covered", "untrusted_key"},
        {"too_large", "malformed"},
        {"unsupported", "malformed"},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        if (strcmp(rows[i][0], reason) == 0) {
            return rows[i][1];
        }
    }
    return reason;
}

static bool has_reason(const json_t *expected, const char *reason)
{
    size_t index;
    json_t *other;

    if (text_of(expected, "reason") != NULL && strcmp(text_of(expected, "reason"), reason) == 0) {
        return true;
    }
    if (text_of(expected, "reason_if_deny") != NULL &&
        strcmp(text_of(expected, "reason_if_deny"), reason) == 0) {
        return true;
    }
    json_array_foreach (json_object_get(expected, "reason_also_accepted"), index, other) {
        if (strcmp(json_string_value(other), reason) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_agreed(const json_t *item, const struct verdict *verdict)
{
    const json_t *expected = json_object_get(item, "expected");
    const char *found = verdict->outcome == VERDICT_SATISFIED ? "allow" : "deny";
    const char *reason = gh_reason_label(gh_cause_reason(verdict->error.cause));
    bool is_verdict = strcmp(found, text_of(expected, "verdict")) == 0;
    size_t index;
    json_t *other;

    json_array_foreach (json_object_get(expected, "verdict_also_accepted"), index, other) {
        is_verdict = is_verdict || strcmp(found, json_string_value(other)) == 0;
    }
    if (is_verdict && (verdict->outcome == VERDICT_SATISFIED || has_reason(expected, reason) ||
                       has_reason(expected, coarser(reason)))) {
        return true;
    }
    print_message("# %s: wanted %s %s, found %s %s (%s: %s)\n", text_of(item, "id"),
                  text_of(expected, "verdict"),
                  text_of(expected, "reason") != NULL ? text_of(expected, "reason") : "", found,
                  reason, gh_cause_label(verdict->error.cause), verdict->error.text);
    return false;
}

static bool check_case(const struct corpus *corpus, const json_t *item, const json_t *repository)
{
    struct items *items = calloc(1, sizeof(*items));
    struct evidence_set set = {0};
    struct evidence_subject subject = {0};
    struct bytes_buf manifest = {0};
    struct gh_error err = {0};
    struct verdict *verdict;
    char name[512];
    bool agrees;

    assert_true(digest_parse(bytes_of(text_of(item, "digest")), &subject.digest, &err));
    assert_true(read_blob(corpus, text_of(item, "digest"), &manifest));
    (void)snprintf(name, sizeof(name), "registry.example.test/%s", text_of(item, "ref"));
    *strrchr(name, ':') = '\0';
    subject.manifest = bytes_view(&manifest);
    subject.name = name;
    collect(corpus, repository, text_of(item, "digest"), items);
    set.items = items->items;
    set.count = items->count;
    verdict = judge(corpus, json_object_get(item, "policy"), &subject, &set, NOW);
    agrees = is_agreed(item, verdict);
    verdict_unref(verdict);
    items_done(items);
    free(items);
    bytes_buf_done(&manifest);
    return agrees;
}

static void require_verify_corpus_agrees(void **state)
{
    struct corpus corpus = {0};
    unsigned judged = 0;
    unsigned wrong = 0;
    unsigned left_out = 0;
    size_t index;
    json_t *item;

    if (!open_corpus(&corpus)) {
        print_message("# skipped: the fixture corpus is not here\n");
        skip();
    }
    json_array_foreach (json_object_get(corpus.cases, "cases"), index, item) {
        char repository[256];
        const json_t *content;

        (void)snprintf(repository, sizeof(repository), "%s", text_of(item, "ref"));
        if (strchr(repository, ':') != NULL) {
            *strrchr(repository, ':') = '\0';
        }
        content = json_object_get(json_object_get(corpus.repositories, "repositories"), repository);
        if (is_left_out(&corpus, item, content)) {
            left_out++;
            continue;
        }
        judged++;
        wrong += check_case(&corpus, item, content) ? 0 : 1;
    }
    print_message("# %u cases judged, %u disagree, %u left out\n", judged, wrong, left_out);
    json_decref(corpus.cases);
    json_decref(corpus.repositories);
    assert_true(judged > 150);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(require_verify_corpus_agrees)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
