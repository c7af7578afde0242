#include "policy/predicate_sbom.h"

#include <stdio.h>
#include <stdlib.h>

#include "crypto/sjson.h"
#include "policy/predicate_licence.h"
#include "policy/predicate_setting.h"

enum sbom_key {
    SBOM_FORMAT,
    SBOM_MUST_CONTAIN,
    SBOM_MUST_NOT_CONTAIN,
    SBOM_LICENCES,
    SBOM_DENIED_LICENCES,
    SBOM_MIN_COMPONENTS
};

const struct predicate_key predicate_sbom_keys[] = {
    [SBOM_FORMAT] = {"format", PREDICATE_PATTERNS,
                     "The document's format with its version, as globs: SPDX-2.3, CycloneDX-1.*.",
                     NULL, 0, 0},
    [SBOM_MUST_CONTAIN] =
        {"must_contain", PREDICATE_PATTERNS,
         "Packages that must be listed, each as a glob for a package URL (with or "
         "without version), a name, or name@version.",
         NULL, 0, 0},
    [SBOM_MUST_NOT_CONTAIN] = {"must_not_contain", PREDICATE_PATTERNS,
                               "Packages that may not be listed, as globs like must_contain.", NULL,
                               0, 0},
    [SBOM_LICENCES] = {"licences", PREDICATE_PATTERNS,
                       "The licences that packages may have, as globs for SPDX identifiers; list "
                       "NOASSERTION to accept packages without one.",
                       NULL, 0, 0},
    [SBOM_DENIED_LICENCES] = {"denied_licences", PREDICATE_PATTERNS,
                              "Licences that no package may require, as globs.", NULL, 0, 0},
    [SBOM_MIN_COMPONENTS] = {"min_components", PREDICATE_INTEGER,
                             "How many packages the document must list at least.", NULL, 1,
                             1000000},
};
const size_t predicate_sbom_key_count = GH_COUNT(predicate_sbom_keys);

#define SBOM_MAX_FORMAT 64
#define SBOM_NO_LICENCE "NOASSERTION"

struct sbom_component {
    struct bytes name;
    struct bytes version;
    struct bytes purl;
};

/* Progress through one document. */
struct sbom_walk {
    const struct predicate_check *check;
    size_t count;
    bool is_found[PREDICATE_MAX_VALUES]; /* of must_contain */
};

/* A glob stands for a package by its URL whole, without qualifiers, without version, by its name,
 * or by name@version. */
static bool sbom_is_package(const struct pattern *pattern, const struct sbom_component *component)
{
    struct bytes purl = component->purl;
    char both[512];
    size_t cut;
    int len;

    if (pattern_match(pattern, component->name)) {
        return true;
    }
    len = snprintf(both, sizeof(both), "%.*s@%.*s", (int)GH_MIN(component->name.len, (size_t)400),
                   (const char *)component->name.data,
                   (int)GH_MIN(component->version.len, (size_t)100),
                   (const char *)component->version.data);
    if (len > 0 && component->version.len > 0 &&
        pattern_match(pattern, bytes_make(both, (size_t)len))) {
        return true;
    }
    if (purl.len == 0 || pattern_match(pattern, purl)) {
        return purl.len > 0;
    }
    cut = GH_MIN(bytes_find(purl, BYTES_LITERAL("?")), bytes_find(purl, BYTES_LITERAL("#")));
    purl = bytes_slice(purl, 0, cut);
    if (pattern_match(pattern, purl)) {
        return true;
    }
    cut = bytes_find_last(purl, BYTES_LITERAL("@"));
    return cut != SIZE_MAX && pattern_match(pattern, bytes_slice(purl, 0, cut));
}

static bool sbom_check_component(struct sbom_walk *walk, const struct sbom_component *component,
                                 struct gh_error *err)
{
    const struct predicate_setting *wanted = &walk->check->settings[SBOM_MUST_CONTAIN];
    const struct predicate_setting *refused = &walk->check->settings[SBOM_MUST_NOT_CONTAIN];

    if (++walk->count > PREDICATE_MAX_ELEMENTS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED,
                       "the bill of materials lists more than %d packages", PREDICATE_MAX_ELEMENTS);
    }
    for (size_t i = 0; i < wanted->pattern_count; i++) {
        walk->is_found[i] = walk->is_found[i] || sbom_is_package(wanted->patterns[i], component);
    }
    for (size_t i = 0; i < refused->pattern_count; i++) {
        if (sbom_is_package(refused->patterns[i], component)) {
            return gh_fail(err, GH_POLICY_DENIED, "package '%.*s' %.*s may not be contained",
                           (int)GH_MIN(component->name.len, (size_t)100),
                           (const char *)component->name.data,
                           (int)GH_MIN(component->version.len, (size_t)40),
                           (const char *)component->version.data);
        }
    }
    return true;
}

static bool sbom_wants_licences(const struct sbom_walk *walk)
{
    return walk->check->settings[SBOM_LICENCES].is_set ||
           walk->check->settings[SBOM_DENIED_LICENCES].is_set;
}

static bool sbom_check_licence(const struct sbom_walk *walk, struct bytes expression,
                               struct bytes package, struct gh_error *err)
{
    if (predicate_licence_accepts(expression, &walk->check->settings[SBOM_LICENCES],
                                  &walk->check->settings[SBOM_DENIED_LICENCES])) {
        return true;
    }
    return gh_fail(err, GH_POLICY_DENIED,
                   "package '%.*s' has licence '%.*s', which is not accepted",
                   (int)GH_MIN(package.len, (size_t)90), (const char *)package.data,
                   (int)GH_MIN(expression.len, (size_t)60), (const char *)expression.data);
}

/* ---- SPDX 2 ---- */

static struct bytes spdx_purl(const json_t *package)
{
    const json_t *refs = json_object_get(package, "externalRefs");

    for (size_t i = 0; i < json_array_size(refs); i++) {
        const json_t *entry = json_array_get(refs, i);

        if (bytes_equal_cstr(predicate_text(entry, "referenceType"), "purl")) {
            return predicate_text(entry, "referenceLocator");
        }
    }
    return bytes_make(NULL, 0);
}

static bool spdx_check_licence(const struct sbom_walk *walk, const json_t *package,
                               struct gh_error *err)
{
    struct bytes licence = predicate_text(package, "licenseConcluded");

    if (licence.len == 0 || bytes_equal_cstr(licence, SBOM_NO_LICENCE)) {
        licence = predicate_text(package, "licenseDeclared");
    }
    if (licence.len == 0) {
        licence = BYTES_LITERAL(SBOM_NO_LICENCE);
    }
    return sbom_check_licence(walk, licence, predicate_text(package, "name"), err);
}

static bool spdx_judge(struct sbom_walk *walk, const json_t *doc, struct gh_error *err)
{
    const json_t *packages = json_object_get(doc, "packages");

    if (!bytes_equal_cstr(predicate_text(doc, "SPDXID"), "SPDXRef-DOCUMENT") ||
        (packages != NULL && !json_is_array(packages))) {
        return gh_fail(err, GH_SBOM_MALFORMED,
                       "the SPDX document has no SPDXID SPDXRef-DOCUMENT, or packages are no list");
    }
    for (size_t i = 0; i < json_array_size(packages); i++) {
        const json_t *package = json_array_get(packages, i);
        struct sbom_component component = {.name = predicate_text(package, "name"),
                                           .version = predicate_text(package, "versionInfo"),
                                           .purl = spdx_purl(package)};

        if (component.name.len == 0) {
            return gh_fail(err, GH_SBOM_MALFORMED, "SPDX package %zu has no name", i);
        }
        GH_TRY(sbom_check_component(walk, &component, err));
        if (sbom_wants_licences(walk)) {
            GH_TRY(spdx_check_licence(walk, package, err));
        }
    }
    return true;
}

/* ---- SPDX 3 ---- */

static bool spdx3_judge(struct sbom_walk *walk, const json_t *doc, struct gh_error *err)
{
    const json_t *graph = json_object_get(doc, "@graph");

    if (sbom_wants_licences(walk)) {
        return gh_fail(err, GH_SBOM_MALFORMED,
                       "licences of SPDX 3 documents are not supported yet");
    }
    for (size_t i = 0; i < json_array_size(graph); i++) {
        const json_t *element = json_array_get(graph, i);
        struct sbom_component component = {.name = predicate_text(element, "name"),
                                           .version =
                                               predicate_text(element, "software_packageVersion"),
                                           .purl = predicate_text(element, "software_packageUrl")};

        if (!json_is_object(element)) {
            return gh_fail(err, GH_SBOM_MALFORMED, "SPDX element %zu is not an object", i);
        }
        if (bytes_equal_cstr(predicate_text(element, "type"), "software_Package")) {
            GH_TRY(sbom_check_component(walk, &component, err));
        }
    }
    return true;
}

/* ---- CycloneDX ---- */

static struct bytes cyclonedx_licence(const json_t *choice)
{
    struct bytes text = predicate_text(choice, "expression");

    if (text.len == 0) {
        text = predicate_text_at(choice, "/license/id");
    }
    return text.len > 0 ? text : predicate_text_at(choice, "/license/name");
}

/* Every entry of `licenses` binds; a component without any has none. */
static bool cyclonedx_check_licences(const struct sbom_walk *walk, const json_t *component,
                                     struct gh_error *err)
{
    const json_t *licences = json_object_get(component, "licenses");
    struct bytes name = predicate_text(component, "name");
    struct bytes type = predicate_text(component, "type");

    if (bytes_equal_cstr(type, "file") || bytes_equal_cstr(type, "operating-system")) {
        return true; /* what a scanner notes without being able to know a licence */
    }
    if (json_array_size(licences) == 0) {
        return sbom_check_licence(walk, BYTES_LITERAL(SBOM_NO_LICENCE), name, err);
    }
    for (size_t i = 0; i < json_array_size(licences); i++) {
        struct bytes licence = cyclonedx_licence(json_array_get(licences, i));

        GH_TRY(sbom_check_licence(walk, licence.len > 0 ? licence : BYTES_LITERAL(SBOM_NO_LICENCE),
                                  name, err));
    }
    return true;
}

static bool cyclonedx_walk(struct sbom_walk *walk, const json_t *components, unsigned depth,
                           struct gh_error *err)
{
    if (depth > PREDICATE_MAX_SBOM_DEPTH) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "components nest deeper than %d",
                       PREDICATE_MAX_SBOM_DEPTH);
    }
    if (components != NULL && !json_is_array(components)) {
        return gh_fail(err, GH_SBOM_MALFORMED, "components of the CycloneDX document are no list");
    }
    for (size_t i = 0; i < json_array_size(components); i++) {
        const json_t *entry = json_array_get(components, i);
        struct sbom_component component = {.name = predicate_text(entry, "name"),
                                           .version = predicate_text(entry, "version"),
                                           .purl = predicate_text(entry, "purl")};

        if (component.name.len == 0) {
            return gh_fail(err, GH_SBOM_MALFORMED, "CycloneDX component %zu has no name", i);
        }
        GH_TRY(sbom_check_component(walk, &component, err));
        if (sbom_wants_licences(walk)) {
            GH_TRY(cyclonedx_check_licences(walk, entry, err));
        }
        GH_TRY(cyclonedx_walk(walk, json_object_get(entry, "components"), depth + 1, err));
    }
    return true;
}

/* ---- both ---- */

static bool sbom_check_format(const struct sbom_walk *walk, const char *format,
                              struct gh_error *err)
{
    const struct predicate_setting *setting = &walk->check->settings[SBOM_FORMAT];
    char wanted[PREDICATE_MAX_WANTED];

    if (!setting->is_set || predicate_setting_matches(setting, bytes_of(format))) {
        return true;
    }
    predicate_setting_wanted(setting, wanted);
    return gh_fail(err, GH_POLICY_DENIED, "the bill of materials is %s, wanted %s", format, wanted);
}

static bool sbom_check_whole(const struct sbom_walk *walk, struct gh_error *err)
{
    const struct predicate_setting *wanted = &walk->check->settings[SBOM_MUST_CONTAIN];
    const struct predicate_setting *least = &walk->check->settings[SBOM_MIN_COMPONENTS];

    for (size_t i = 0; i < wanted->pattern_count; i++) {
        struct bytes text = pattern_text(wanted->patterns[i]);

        if (!walk->is_found[i]) {
            return gh_fail(err, GH_POLICY_DENIED, "the bill of materials lists no package '%.*s'",
                           (int)text.len, (const char *)text.data);
        }
    }
    if (least->is_set && walk->count < (size_t)least->number) {
        return gh_fail(err, GH_POLICY_DENIED,
                       "the bill of materials lists %zu packages, wanted %lld", walk->count,
                       (long long)least->number);
    }
    return true;
}

/* The document's own name of its format, and whether it is one we know. */
static bool sbom_format(const json_t *doc, bool is_spdx, char out[SBOM_MAX_FORMAT])
{
    struct bytes version = predicate_text(doc, is_spdx ? "spdxVersion" : "specVersion");

    if (is_spdx && version.len == 0 && json_is_array(json_object_get(doc, "@graph"))) {
        (void)snprintf(out, SBOM_MAX_FORMAT, "SPDX-3");
        return true;
    }
    (void)snprintf(out, SBOM_MAX_FORMAT, "%s%.*s", is_spdx ? "" : "CycloneDX-",
                   (int)GH_MIN(version.len, (size_t)20), (const char *)version.data);
    return is_spdx
               ? bytes_starts_with(version, BYTES_LITERAL("SPDX-2."))
               : version.len > 0 && bytes_equal_cstr(predicate_text(doc, "bomFormat"), "CycloneDX");
}

static bool sbom_judge_document(struct sbom_walk *walk, const json_t *doc, bool is_spdx,
                                struct gh_error *err)
{
    char format[SBOM_MAX_FORMAT];

    if (!json_is_object(doc) || !sbom_format(doc, is_spdx, format)) {
        return gh_fail(err, GH_SBOM_MALFORMED, "the predicate is no %s document of a known version",
                       is_spdx ? "SPDX" : "CycloneDX");
    }
    GH_TRY(sbom_check_format(walk, format, err));
    if (!is_spdx) {
        GH_TRY(cyclonedx_walk(walk, json_object_get(doc, "components"), 0, err));
    } else if (json_object_get(doc, "spdxVersion") == NULL) {
        GH_TRY(spdx3_judge(walk, doc, err));
    } else {
        GH_TRY(spdx_judge(walk, doc, err));
    }
    return sbom_check_whole(walk, err);
}

static bool sbom_has_settings(const struct predicate_check *check)
{
    for (size_t i = 0; i < predicate_sbom_key_count; i++) {
        if (check->settings[i].is_set) {
            return true;
        }
    }
    return false;
}

/* cosign puts what it was given as `spdx` into a string: JSON, or the tag-value form, of which only
 * the presence can be asked for. */
static bool sbom_judge_string(struct sbom_walk *walk, struct bytes text, bool is_spdx,
                              struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;

    bytes_skip_space(&text);
    if (bytes_starts_with(text, BYTES_LITERAL("{"))) {
        if (!sjson_parse_object(text, PREDICATE_MAX_SBOM_BYTES, &doc, err)) {
            return gh_fail(err, GH_SBOM_MALFORMED,
                           "the document in the predicate cannot be parsed") ||
                   gh_recast(err, GH_SBOM_MALFORMED);
        }
        return sbom_judge_document(walk, doc, is_spdx, err);
    }
    if (is_spdx && bytes_starts_with(text, BYTES_LITERAL("SPDXVersion:")) &&
        !sbom_has_settings(walk->check)) {
        return true;
    }
    return gh_fail(err, GH_SBOM_MALFORMED,
                   "the predicate holds a text that cannot be judged; attach the JSON form");
}

static void sbom_walk_freep(struct sbom_walk **walk)
{
    free(*walk);
}

bool predicate_sbom_judge(const struct predicate_check *check, const struct predicate_input *input,
                          struct gh_error *err)
{
    GH_OWN(sbom_walk_freep) struct sbom_walk *walk = calloc(1, sizeof(*walk));
    bool is_spdx = bytes_starts_with(input->type, BYTES_LITERAL("https://spdx.dev/"));

    if (walk == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    walk->check = check;
    if (json_is_string(input->predicate)) {
        return sbom_judge_string(walk, sjson_string(input->predicate), is_spdx, err);
    }
    return sbom_judge_document(walk, input->predicate, is_spdx, err);
}
