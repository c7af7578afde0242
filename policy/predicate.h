/*
 * What an attestation says, judged: which predicate types an alias accepts, the typed checks of
 * each alias, conditions by JSON pointer, and the age of a statement. Envelope, signature, subject
 * and predicate type have been verified before anything here runs.
 *
 * Typed checks per alias (predicate_keys() lists them with their help):
 *   slsa-provenance     builder source ref commit workflow build_type level builder_levels
 *                       parameters ignore_parameters
 *   spdx, cyclonedx     format must_contain must_not_contain licences denied_licences
 *                       min_components
 *   openvex             accept under_investigation
 *   vulnerability-scan  max_severity max_count scanner max_age db_max_age accept unknown_as
 *
 * Text values are globs (crypto/pattern.h: `*` within a segment, `**` across) and a list means
 * "one of" (must_contain and must_not_contain: "each of" and "none of").
 *
 * The build level a provenance proves is conservative. It is 1, unless
 *   - `builder_levels` (builder pattern: level) of the policy says otherwise for its builder, or
 *   - the builder is a reusable workflow of slsa-framework/slsa-github-generator at a version tag
 *     and the certificate's identity is that very workflow: 3, or
 *   - the builder is GitHub's hosted runner and the certificate was issued by GitHub's token
 *     service to a run on a hosted runner: 2.
 * A builder of the second kind with another identity is refused whatever level is asked for
 * (PROVENANCE_SIGNER_MISMATCH): a builder's name is chosen by whoever signs.
 *
 * Threads: compiled checks and conditions are immutable and may be used from any thread.
 */
#ifndef POLICY_PREDICATE_H
#define POLICY_PREDICATE_H

#include <jansson.h>

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"
#include "metrics/error.h"

#define PREDICATE_MAX_OPTIONS 16
#define PREDICATE_MAX_VALUES 256
#define PREDICATE_MAX_CONDITIONS 64
#define PREDICATE_MAX_TESTS 16
#define PREDICATE_MAX_PATH_BYTES 1024
#define PREDICATE_MAX_ELEMENTS 200000 /* that one condition visits */
#define PREDICATE_MAX_LITERAL_BYTES 65536

struct predicate_check; /* compiled typed check */
struct predicate_where; /* compiled conditions */

/* How the value of a check's key is written. */
enum predicate_value {
    PREDICATE_PATTERNS, /* a glob or a list of globs */
    PREDICATE_TEXTS,    /* a text or a list of texts, compared exactly */
    PREDICATE_CHOICE,   /* one of `choices` */
    PREDICATE_INTEGER,  /* `min` to `max` */
    PREDICATE_DURATION, /* 90s, 15m, 12h, 7d, 2w */
    PREDICATE_COUNTS,   /* an integer, or a map of `choices` to integers */
    PREDICATE_LEVELS,   /* a map of globs to integers */
    PREDICATE_PAIRS     /* a map of globs to globs */
};

/* One key that `check` accepts for an alias; `policy` makes schema and documentation from it. */
struct predicate_key {
    const char *name;
    enum predicate_value value;
    const char *help;           /* one sentence */
    const char *const *choices; /* NULL-terminated, or NULL */
    int64_t min;
    int64_t max;
};

/* An alias; a predicate type URI has none, and takes no typed checks. */
struct predicate_alias {
    const char *name;         /* "slsa-provenance" */
    const char *const *types; /* accepted predicateType strings, NULL-terminated */
    const struct predicate_key *keys;
    size_t key_count;
};

/* The aliases, and the one of that name or NULL. Static. */
extern const struct predicate_alias predicate_aliases[];
extern const size_t predicate_alias_count;
const struct predicate_alias *predicate_alias_find(const char *name);

/*
 * Whether NAME (as configured after `attestation:`) is an alias or a predicate type URI.
 * Fails: POLICY_DENIED, the text names the aliases.
 */
GH_CHECKED bool predicate_name_check(const char *name, struct gh_error *err);

/* Whether a statement of TYPE is one that NAME asks for. */
bool predicate_name_accepts(const char *name, struct bytes type);

/*
 * One member of `check:` as configured. A scalar has one value and no keys, a list several values,
 * a map as many keys as values. Values are the scalars' texts. Borrowed for the call.
 */
struct predicate_option {
    const char *name;
    const char *const *keys; /* a map's keys; else NULL */
    const char *const *values;
    size_t value_count;
};

/*
 * Compile the typed check of NAME. Without options it is what the alias means by itself: the
 * predicate must be well-formed, and an `openvex` document must name no vulnerability that affects
 * the image. Compile it for every alias, also where the configuration has no `check`; for a
 * predicate type URI there is none, and options are refused.
 *
 * Gives: *out: new, predicate_check_free(); NULL for a URI
 * Fails: POLICY_DENIED (unknown key, wrong value; the text says what is accepted and *at is the
 *        index of the option at fault), SIZE_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool predicate_check_new(const char *name, const struct predicate_option *options,
                                    size_t count, struct predicate_check **out, size_t *at,
                                    struct gh_error *err);
void predicate_check_free(struct predicate_check *check);
GH_DEFINE_FREEP(predicate_check, struct predicate_check)

enum predicate_op {
    PREDICATE_EQUALS,
    PREDICATE_NOT_EQUALS,
    PREDICATE_IN,
    PREDICATE_NOT_IN,
    PREDICATE_MATCHES,
    PREDICATE_MIN,
    PREDICATE_MAX,
    PREDICATE_EXISTS
};
/* The operator's name in the configuration, and back: false where there is none. */
const char *predicate_op_name(enum predicate_op op);
bool predicate_op_by_name(const char *name, enum predicate_op *out);

/*
 * One operator with its operand as JSON text (YAML strings quoted, numbers as written, maps and
 * lists as objects and arrays): `in` and `not_in` take an array, `matches` a string, `min` and
 * `max` a number, `exists` a boolean, `equals` and `not_equals` anything.
 */
struct predicate_test {
    enum predicate_op op;
    struct bytes operand;
};

/* One item of `where:`. Every test must hold, for every element (with is_any: for at least one
 * element, all tests for the same one). `path` is an RFC 6901 pointer into the predicate in which
 * a token `*` stands for every element of an array or member of an object. */
struct predicate_condition {
    const char *path;
    bool is_any;
    const struct predicate_test *tests;
    size_t test_count;
};

/*
 * Gives: *out: new, predicate_where_free(); NULL where COUNT is zero
 * Fails: POLICY_DENIED (*at is the index of the condition at fault), SIZE_LIMIT_EXCEEDED,
 *        COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool predicate_where_new(const struct predicate_condition *conditions, size_t count,
                                    struct predicate_where **out, size_t *at, struct gh_error *err);
void predicate_where_free(struct predicate_where *where);
GH_DEFINE_FREEP(predicate_where, struct predicate_where)

/* What the certificate says of the run that signed; members without data are not known. */
struct predicate_signer {
    struct bytes issuer;             /* OIDC issuer */
    struct bytes identity;           /* subject alternative name */
    struct bytes source_repository;  /* claim source_repository_uri */
    struct bytes source_commit;      /* claim source_repository_digest */
    struct bytes source_ref;         /* claim source_repository_ref */
    struct bytes build_config;       /* claim build_config_uri: workflow@ref that started the run */
    struct bytes runner_environment; /* "github-hosted" or "self-hosted" */
};

/* A verified statement. All borrowed. */
struct predicate_input {
    struct bytes type;                     /* predicateType */
    const json_t *predicate;               /* NULL where the statement has none */
    const struct digest *subject;          /* digest of the subject that is decided; may be NULL */
    const struct predicate_signer *signer; /* NULL for keys */
    bool has_proved_time;
    int64_t proved_unix_s; /* RFC 3161 time or signed log time */
    int64_t now_unix_s;
    int64_t max_age_s; /* of the requirement; 0: any age */
};

/*
 * Judge one statement: typed check, then conditions, then age. CHECK and WHERE may be NULL.
 *
 * The age counts from the older of the statement's own time (provenance: finishedOn; SPDX:
 * creationInfo.created; CycloneDX: metadata.timestamp; OpenVEX: timestamp; scans: scanFinishedOn;
 * cosign custom: Timestamp) and its proved time; with neither, max_age is not met. An own time
 * that cannot be read, or that lies more than five minutes in the future, is no time at all.
 *
 * Gives:   *until_unix_s: the last second at which the answer holds (INT64_MAX: no end)
 * Fails:   PREDICATE_MALFORMED, BUILDER_MISMATCH, BUILD_TYPE_MISMATCH, SOURCE_MISMATCH,
 *          SOURCE_REF_MISMATCH, WORKFLOW_MISMATCH, SLSA_LEVEL_INSUFFICIENT,
 *          PROVENANCE_SIGNER_MISMATCH, SBOM_MALFORMED, VEX_INVALID, VULN_SCAN_STALE,
 *          VULN_THRESHOLD_EXCEEDED, ATTESTATION_STALE, POLICY_DENIED (a condition, a package or a
 *          licence), COUNT_LIMIT_EXCEEDED
 * Threads: any
 */
GH_CHECKED bool predicate_evaluate(const struct predicate_check *check,
                                   const struct predicate_where *where,
                                   const struct predicate_input *input, int64_t *until_unix_s,
                                   struct gh_error *err);

/* The statement's own time as above; false where it has none that can be read. */
bool predicate_own_time(struct bytes type, const json_t *predicate, int64_t *out);

#endif
