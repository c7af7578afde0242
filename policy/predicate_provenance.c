#include "policy/predicate_provenance.h"

#include <ctype.h>
#include <string.h>

#include "crypto/sjson.h"
#include "policy/predicate_parameters.h"
#include "policy/predicate_setting.h"

enum provenance_key {
    PROVENANCE_BUILDER,
    PROVENANCE_SOURCE,
    PROVENANCE_REF,
    PROVENANCE_COMMIT,
    PROVENANCE_WORKFLOW,
    PROVENANCE_BUILD_TYPE,
    PROVENANCE_LEVEL,
    PROVENANCE_BUILDER_LEVELS,
    PROVENANCE_PARAMETERS,
    PROVENANCE_IGNORE_PARAMETERS
};

const struct predicate_key predicate_provenance_keys[] = {
    [PROVENANCE_BUILDER] = {"builder", PREDICATE_PATTERNS,
                            "The builder's id, as globs of which one must match.", NULL, 0, 0},
    [PROVENANCE_SOURCE] =
        {"source", PREDICATE_PATTERNS,
         "The source repository's URL, as globs; a `git+` in front, `.git` at the "
         "end and the reference do not count.",
         NULL, 0, 0},
    [PROVENANCE_REF] = {"ref", PREDICATE_PATTERNS,
                        "The source reference, as globs: refs/heads/main, refs/tags/v*.", NULL, 0,
                        0},
    [PROVENANCE_COMMIT] = {"commit", PREDICATE_PATTERNS,
                           "The source commit: 40 or 64 lower-case hex digits.", NULL, 0, 0},
    [PROVENANCE_WORKFLOW] = {"workflow", PREDICATE_PATTERNS,
                             "The path of the workflow or entry point, as globs.", NULL, 0, 0},
    [PROVENANCE_BUILD_TYPE] = {"build_type", PREDICATE_PATTERNS, "The build type, as globs.", NULL,
                               0, 0},
    [PROVENANCE_LEVEL] = {"level", PREDICATE_INTEGER, "The SLSA build level that must be proved.",
                          NULL, 1, 3},
    [PROVENANCE_BUILDER_LEVELS] = {"builder_levels", PREDICATE_LEVELS,
                                   "The level that builders of your own prove: glob of the "
                                   "builder's id to level.",
                                   NULL, 0, 3},
    [PROVENANCE_PARAMETERS] =
        {"parameters", PREDICATE_PAIRS,
         "What the build was given from outside (externalParameters; in v0.2 "
         "invocation.parameters): JSON pointer to value, both globs. Once this or "
         "ignore_parameters is there, or level is 3, a parameter that neither names is refused; "
         "source, ref, commit and workflow are judged by their own keys.",
         NULL, 0, 0},
    [PROVENANCE_IGNORE_PARAMETERS] = {"ignore_parameters", PREDICATE_PATTERNS,
                                      "Parameters that may have any value: JSON pointers as globs, "
                                      "with all below them.",
                                      NULL, 0, 0},
};

#define PROVENANCE_GITHUB_ISSUER "https://token.actions.githubusercontent.com"
#define PROVENANCE_GITHUB_RUNNER "https://github.com/actions/runner/"
#define PROVENANCE_GITHUB_HOSTED "https://github.com/actions/runner/github-hosted"
#define PROVENANCE_GENERATOR                                                                       \
    "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/"
#define PROVENANCE_MAX_SOURCE_BYTES 2048
#define PROVENANCE_MAX_KNOWN 12 /* members that have a key of their own */

/* The build types under which the run that builds is the run that signs. */
static const char *const provenance_github_types[] = {
    "https://actions.github.io/buildtypes/workflow/v1",
    "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
};

/* Both versions of the predicate, read alike. Members without data are absent. */
struct provenance {
    struct bytes builder;
    struct bytes build_type;
    struct bytes source_uri; /* as written */
    struct bytes source;     /* views into source_uri: without git+, reference, .git */
    struct bytes ref;
    struct bytes commit;
    struct bytes workflow;
};

static struct bytes provenance_first(struct bytes a, struct bytes b)
{
    return a.len > 0 ? a : b;
}

/* `git+https://host/path.git@ref` or `https://host/path.git#ref` in its parts. An `@` in front of
 * the path belongs to the authority. */
static struct bytes provenance_split_uri(struct bytes uri, struct bytes *ref)
{
    struct bytes rest = uri, path;
    size_t scheme, slash, at;

    *ref = bytes_make(NULL, 0);
    if (bytes_starts_with(rest, BYTES_LITERAL("git+"))) {
        rest = bytes_slice(rest, 4, SIZE_MAX);
    }
    scheme = bytes_find(rest, BYTES_LITERAL("://"));
    scheme = scheme == SIZE_MAX ? 0 : scheme + 3;
    slash = bytes_find(bytes_slice(rest, scheme, SIZE_MAX), BYTES_LITERAL("/"));
    if (slash != SIZE_MAX) {
        path = bytes_slice(rest, scheme + slash, SIZE_MAX);
        at = GH_MIN(bytes_find(path, BYTES_LITERAL("@")), bytes_find(path, BYTES_LITERAL("#")));
        if (at != SIZE_MAX) {
            *ref = bytes_slice(path, at + 1, SIZE_MAX);
            rest = bytes_slice(rest, 0, scheme + slash + at);
        }
    }
    if (bytes_ends_with(rest, BYTES_LITERAL("/"))) {
        rest = bytes_slice(rest, 0, rest.len - 1);
    }
    if (bytes_ends_with(rest, BYTES_LITERAL(".git"))) {
        rest = bytes_slice(rest, 0, rest.len - 4);
    }
    return rest;
}

static struct bytes provenance_commit_of(const json_t *digest)
{
    return provenance_first(predicate_text(digest, "gitCommit"), predicate_text(digest, "sha1"));
}

static void provenance_set_source(struct provenance *out, struct bytes uri)
{
    struct bytes ref;

    out->source_uri = uri;
    out->source = provenance_split_uri(uri, &ref);
    out->ref = provenance_first(out->ref, ref);
}

/* The commit of the dependency that is the source repository; others say nothing of it. */
static struct bytes provenance_find_commit(const json_t *dependencies, struct bytes source)
{
    for (size_t i = 0; i < json_array_size(dependencies); i++) {
        const json_t *entry = json_array_get(dependencies, i);
        struct bytes ref;
        struct bytes uri = provenance_split_uri(predicate_text(entry, "uri"), &ref);
        struct bytes commit = provenance_commit_of(json_object_get(entry, "digest"));

        if (source.len > 0 && bytes_equal(uri, source) && commit.len > 0) {
            return commit;
        }
    }
    return bytes_make(NULL, 0);
}

static bool provenance_read_v02(const json_t *predicate, struct provenance *out,
                                struct gh_error *err)
{
    const json_t *config = sjson_pointer(predicate, "/invocation/configSource");
    struct bytes listed;

    out->builder = predicate_text_at(predicate, "/builder/id");
    out->build_type = predicate_text(predicate, "buildType");
    out->workflow = predicate_text(config, "entryPoint");
    out->commit = provenance_commit_of(json_object_get(config, "digest"));
    provenance_set_source(out, predicate_text(config, "uri"));
    listed = provenance_find_commit(json_object_get(predicate, "materials"), out->source);
    if (out->commit.len > 0 && listed.len > 0 && !bytes_equal(out->commit, listed)) {
        return gh_fail(err, GH_SOURCE_MISMATCH,
                       "the provenance names commit %.64s of its source and lists %.64s",
                       (const char *)out->commit.data, (const char *)listed.data);
    }
    out->commit = provenance_first(out->commit, listed);
    return true;
}

static void provenance_read_v1(const json_t *predicate, struct provenance *out)
{
    const json_t *parameters = sjson_pointer(predicate, "/buildDefinition/externalParameters");
    struct bytes uri = predicate_text_at(parameters, "/workflow/repository");

    uri = provenance_first(uri, predicate_text_at(parameters, "/configSource/uri"));
    uri = provenance_first(uri, predicate_text_at(parameters, "/source/uri"));
    uri = provenance_first(uri, predicate_text(parameters, "source"));
    out->builder = predicate_text_at(predicate, "/runDetails/builder/id");
    out->build_type = predicate_text_at(predicate, "/buildDefinition/buildType");
    out->ref = predicate_text_at(parameters, "/workflow/ref");
    out->workflow = predicate_text_at(parameters, "/workflow/path");
    out->workflow =
        provenance_first(out->workflow, predicate_text_at(parameters, "/configSource/path"));
    out->workflow = provenance_first(out->workflow, predicate_text(parameters, "entryPoint"));
    provenance_set_source(out, uri);
    out->commit = provenance_find_commit(
        sjson_pointer(predicate, "/buildDefinition/resolvedDependencies"), out->source);
    if (out->commit.len == 0) {
        out->commit = provenance_commit_of(sjson_pointer(parameters, "/configSource/digest"));
    }
    if (out->commit.len == 0) {
        out->commit = provenance_commit_of(sjson_pointer(parameters, "/source/digest"));
    }
}

static bool provenance_read(const struct predicate_input *input, struct provenance *out,
                            struct gh_error *err)
{
    if (!json_is_object(input->predicate)) {
        return gh_fail(err, GH_PREDICATE_MALFORMED, "the provenance is not an object");
    }
    if (bytes_equal_cstr(input->type, PREDICATE_TYPE_SLSA_V02)) {
        GH_TRY(provenance_read_v02(input->predicate, out, err));
    } else {
        provenance_read_v1(input->predicate, out);
    }
    if (out->builder.len == 0 || out->build_type.len == 0) {
        return gh_fail(err, GH_PREDICATE_MALFORMED, "the provenance lacks its %s",
                       out->builder.len == 0 ? "builder id" : "build type");
    }
    return true;
}

/* Copy a URL with its scheme and host in lower case (RFC 3986 section 6.2.2.1). */
static struct bytes provenance_fold_host(struct bytes uri, char out[PROVENANCE_MAX_SOURCE_BYTES])
{
    size_t scheme = bytes_find(uri, BYTES_LITERAL("://"));
    size_t end = 0;

    if (uri.len > PROVENANCE_MAX_SOURCE_BYTES) {
        return bytes_make(NULL, 0);
    }
    if (scheme != SIZE_MAX) {
        size_t slash = bytes_find(bytes_slice(uri, scheme + 3, SIZE_MAX), BYTES_LITERAL("/"));

        end = slash == SIZE_MAX ? uri.len : scheme + 3 + slash;
    }
    for (size_t i = 0; i < uri.len; i++) {
        out[i] = (char)(i < end ? tolower(uri.data[i]) : uri.data[i]);
    }
    return bytes_make(out, uri.len);
}

/* A pattern may be written as the repository is cloned: with `git+`, `.git`, or without scheme. */
static bool provenance_source_matches(const struct predicate_setting *setting, struct bytes source)
{
    char folded[PROVENANCE_MAX_SOURCE_BYTES], cloned[PROVENANCE_MAX_SOURCE_BYTES + 8];
    struct bytes plain = provenance_fold_host(source, folded);
    size_t scheme = bytes_find(plain, BYTES_LITERAL("://"));

    if (plain.len == 0) {
        return false;
    }
    if (predicate_setting_matches(setting, plain) ||
        (scheme != SIZE_MAX &&
         predicate_setting_matches(setting, bytes_slice(plain, scheme + 3, SIZE_MAX)))) {
        return true;
    }
    memcpy(cloned, "git+", 4);
    memcpy(cloned + 4, plain.data, plain.len);
    memcpy(cloned + 4 + plain.len, ".git", 4);
    return predicate_setting_matches(setting, bytes_make(cloned, plain.len + 8)) ||
           predicate_setting_matches(setting, bytes_make(cloned + 4, plain.len + 4)) ||
           predicate_setting_matches(setting, bytes_make(cloned, plain.len + 4));
}

static bool provenance_mismatch(enum gh_cause cause, const char *what, struct bytes found,
                                const struct predicate_setting *setting, struct gh_error *err)
{
    char wanted[PREDICATE_MAX_WANTED];

    predicate_setting_wanted(setting, wanted);
    if (found.len == 0) {
        return gh_fail(err, cause, "the provenance names no %s, wanted %s", what, wanted);
    }
    return gh_fail(err, cause, "%s is '%.*s', wanted %s", what, (int)GH_MIN(found.len, (size_t)90),
                   (const char *)found.data, wanted);
}

static bool provenance_check_text(const struct predicate_setting *setting, struct bytes found,
                                  enum gh_cause cause, const char *what, struct gh_error *err)
{
    if (!setting->is_set || (found.len > 0 && predicate_setting_matches(setting, found))) {
        return true;
    }
    return provenance_mismatch(cause, what, found, setting, err);
}

static bool provenance_is_commit(struct bytes text)
{
    bool is_hex = text.len == 40 || text.len == 64;

    for (size_t i = 0; i < text.len && is_hex; i++) {
        is_hex = (text.data[i] >= '0' && text.data[i] <= '9') ||
                 (text.data[i] >= 'a' && text.data[i] <= 'f');
    }
    return is_hex;
}

static bool provenance_check_source(const struct predicate_check *check,
                                    const struct provenance *found, struct gh_error *err)
{
    const struct predicate_setting *source = &check->settings[PROVENANCE_SOURCE];
    const struct predicate_setting *commit = &check->settings[PROVENANCE_COMMIT];

    if (source->is_set && !provenance_source_matches(source, found->source)) {
        return provenance_mismatch(GH_SOURCE_MISMATCH, "the source", found->source, source, err);
    }
    GH_TRY(provenance_check_text(&check->settings[PROVENANCE_REF], found->ref,
                                 GH_SOURCE_REF_MISMATCH, "the source reference", err));
    if (commit->is_set && found->commit.len > 0 && !provenance_is_commit(found->commit)) {
        return gh_fail(err, GH_SOURCE_REF_MISMATCH, "the source commit '%.64s' is no commit",
                       (const char *)found->commit.data);
    }
    GH_TRY(provenance_check_text(commit, found->commit, GH_SOURCE_REF_MISMATCH, "the source commit",
                                 err));
    return provenance_check_text(&check->settings[PROVENANCE_WORKFLOW], found->workflow,
                                 GH_WORKFLOW_MISMATCH, "the workflow", err);
}

static bool provenance_agrees(struct bytes claimed, struct bytes found, enum gh_cause cause,
                              const char *what, struct gh_error *err)
{
    if (claimed.len == 0 || found.len == 0 || bytes_equal(claimed, found)) {
        return true;
    }
    return gh_fail(err, cause, "the certificate says %s '%.*s', the provenance '%.*s'", what,
                   (int)GH_MIN(claimed.len, (size_t)80), (const char *)claimed.data,
                   (int)GH_MIN(found.len, (size_t)80), (const char *)found.data);
}

/* Where the run that builds is the run that signs, its certificate says the same of it. */
static bool provenance_check_certificate(const struct predicate_signer *signer,
                                         const struct provenance *found, struct gh_error *err)
{
    struct bytes ref, config;
    bool is_same_run = false;

    for (size_t i = 0; i < GH_COUNT(provenance_github_types); i++) {
        is_same_run =
            is_same_run || bytes_equal_cstr(found->build_type, provenance_github_types[i]);
    }
    if (signer == NULL || !is_same_run ||
        !bytes_equal_cstr(signer->issuer, PROVENANCE_GITHUB_ISSUER)) {
        return true;
    }
    GH_TRY(provenance_agrees(provenance_split_uri(signer->source_repository, &ref), found->source,
                             GH_SOURCE_MISMATCH, "source", err));
    GH_TRY(provenance_agrees(signer->source_ref, found->ref, GH_SOURCE_REF_MISMATCH, "reference",
                             err));
    GH_TRY(provenance_agrees(signer->source_commit, found->commit, GH_SOURCE_REF_MISMATCH, "commit",
                             err));
    /* https://github.com/owner/repository/<path>@<ref> */
    config = provenance_split_uri(signer->build_config, &ref);
    if (config.len > 0 && found->workflow.len > 0 && !bytes_ends_with(config, found->workflow)) {
        return provenance_agrees(config, found->workflow, GH_WORKFLOW_MISMATCH, "workflow", err);
    }
    return true;
}

static bool provenance_is_generator(struct bytes builder)
{
    struct bytes ref;

    (void)provenance_split_uri(builder, &ref);
    return bytes_starts_with(builder, BYTES_LITERAL(PROVENANCE_GENERATOR)) &&
           bytes_starts_with(ref, BYTES_LITERAL("refs/tags/v"));
}

/* A builder's name is chosen by whoever signs: known builders must have signed themselves. */
static bool provenance_check_signer(const struct predicate_signer *signer,
                                    const struct provenance *found, int64_t *level,
                                    struct gh_error *err)
{
    *level = 1;
    if (signer == NULL || signer->identity.len == 0) {
        return true;
    }
    if (bytes_starts_with(found->builder, BYTES_LITERAL(PROVENANCE_GENERATOR))) {
        if (!bytes_equal(signer->identity, found->builder)) {
            return gh_fail(
                err, GH_PROVENANCE_SIGNER_MISMATCH, "the builder is '%.*s', signed by '%.*s'",
                (int)GH_MIN(found->builder.len, (size_t)100), (const char *)found->builder.data,
                (int)GH_MIN(signer->identity.len, (size_t)90), (const char *)signer->identity.data);
        }
        *level = provenance_is_generator(found->builder) &&
                         bytes_equal_cstr(signer->issuer, PROVENANCE_GITHUB_ISSUER)
                     ? 3
                     : 1;
        return true;
    }
    if (bytes_starts_with(found->builder, BYTES_LITERAL(PROVENANCE_GITHUB_RUNNER))) {
        bool is_hosted = bytes_equal_cstr(found->builder, PROVENANCE_GITHUB_HOSTED);
        bool is_github = bytes_equal_cstr(signer->issuer, PROVENANCE_GITHUB_ISSUER);

        if (is_hosted && is_github && signer->runner_environment.len > 0 &&
            !bytes_equal_cstr(signer->runner_environment, "github-hosted")) {
            return gh_fail(err, GH_PROVENANCE_SIGNER_MISMATCH,
                           "the builder is '%s', but the signing run was '%.*s'",
                           PROVENANCE_GITHUB_HOSTED,
                           (int)GH_MIN(signer->runner_environment.len, (size_t)60),
                           (const char *)signer->runner_environment.data);
        }
        is_hosted = is_hosted && bytes_equal_cstr(signer->runner_environment, "github-hosted");
        *level = is_github && is_hosted ? 2 : 1;
    }
    return true;
}

static bool provenance_check_level(const struct predicate_check *check,
                                   const struct provenance *found, int64_t proved,
                                   struct gh_error *err)
{
    const struct predicate_setting *level = &check->settings[PROVENANCE_LEVEL];
    const struct predicate_setting *own = &check->settings[PROVENANCE_BUILDER_LEVELS];
    bool is_own = false;

    for (size_t i = 0; i < own->pattern_count; i++) {
        if (pattern_match(own->patterns[i], found->builder)) {
            /* of several that match the lowest counts */
            proved = is_own ? GH_MIN(proved, own->levels[i]) : own->levels[i];
            is_own = true;
        }
    }
    if (level->is_set && proved < level->number) {
        return gh_fail(
            err, GH_SLSA_LEVEL_INSUFFICIENT, "builder '%.*s' proves level %lld, wanted level %lld",
            (int)GH_MIN(found->builder.len, (size_t)120), (const char *)found->builder.data,
            (long long)proved, (long long)level->number);
    }
    return true;
}

/* Members of v1's parameters that the keys of the check judge; only the ones that were read. */
static size_t provenance_known(const struct provenance *found,
                               struct predicate_parameter out[PROVENANCE_MAX_KNOWN])
{
    const struct predicate_parameter known[PROVENANCE_MAX_KNOWN] = {
        {"/workflow/repository", found->source_uri},
        {"/configSource/uri", found->source_uri},
        {"/source/uri", found->source_uri},
        {"/source", found->source_uri},
        {"/workflow/ref", found->ref},
        {"/workflow/path", found->workflow},
        {"/configSource/path", found->workflow},
        {"/entryPoint", found->workflow},
        {"/configSource/digest/gitCommit", found->commit},
        {"/configSource/digest/sha1", found->commit},
        {"/source/digest/gitCommit", found->commit},
        {"/source/digest/sha1", found->commit},
    };

    memcpy(out, known, sizeof(known));
    return PROVENANCE_MAX_KNOWN;
}

/* SLSA asks for this from level 3 on; below, where the policy speaks of parameters. */
static bool provenance_check_parameters(const struct predicate_check *check,
                                        const struct predicate_input *input,
                                        const struct provenance *found, struct gh_error *err)
{
    const struct predicate_setting *level = &check->settings[PROVENANCE_LEVEL];
    const struct predicate_setting *expected = &check->settings[PROVENANCE_PARAMETERS];
    const struct predicate_setting *ignored = &check->settings[PROVENANCE_IGNORE_PARAMETERS];
    struct predicate_parameter known[PROVENANCE_MAX_KNOWN];
    const json_t *complete = sjson_pointer(input->predicate, "/metadata/completeness/parameters");

    if (!expected->is_set && !ignored->is_set && !(level->is_set && level->number >= 3)) {
        return true;
    }
    if (bytes_equal_cstr(input->type, PREDICATE_TYPE_SLSA_V02)) {
        if (json_is_false(complete)) {
            return gh_fail(err, GH_PARAMETERS_UNEXPECTED,
                           "the builder does not claim that it lists all parameters "
                           "(metadata.completeness.parameters is false)");
        }
        return predicate_parameters_judge(sjson_pointer(input->predicate, "/invocation/parameters"),
                                          expected, ignored, NULL, 0, err);
    }
    return predicate_parameters_judge(
        sjson_pointer(input->predicate, "/buildDefinition/externalParameters"), expected, ignored,
        known, provenance_known(found, known), err);
}

bool predicate_provenance_judge(const struct predicate_check *check,
                                const struct predicate_input *input, struct gh_error *err)
{
    struct provenance found = {0};
    int64_t level;

    GH_TRY(provenance_read(input, &found, err));
    GH_TRY(provenance_check_text(&check->settings[PROVENANCE_BUILDER], found.builder,
                                 GH_BUILDER_MISMATCH, "the builder", err));
    GH_TRY(provenance_check_signer(input->signer, &found, &level, err));
    GH_TRY(provenance_check_level(check, &found, level, err));
    GH_TRY(provenance_check_text(&check->settings[PROVENANCE_BUILD_TYPE], found.build_type,
                                 GH_BUILD_TYPE_MISMATCH, "the build type", err));
    GH_TRY(provenance_check_source(check, &found, err));
    GH_TRY(provenance_check_certificate(input->signer, &found, err));
    return provenance_check_parameters(check, input, &found, err);
}
