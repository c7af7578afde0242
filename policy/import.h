/*
 * Policies of other tools, as the equivalent configuration. Documents come in as bytes, YAML and
 * findings go out; nothing is read or written here.
 *
 * Each field that is present gets a class: translated, without effect, stricter than it was, or
 * refused. One refused field refuses the import. Unknown and duplicate fields are refused, also
 * where the tool itself ignores them: a typing mistake must not become a hole.
 *
 * Threads: any; one import is one thread's.
 */
#ifndef POLICY_IMPORT_H
#define POLICY_IMPORT_H

#include "crypto/bytes.h"
#include "gatehouse.h"
#include "metrics/text.h"

struct gh_error;

#define IMPORT_MAX_BYTES (4u * 1024 * 1024)
#define IMPORT_MAX_DOCUMENTS 512
#define IMPORT_MAX_FINDINGS 4000
#define IMPORT_MAX_POLICIES 1000
#define IMPORT_MAX_PATTERNS 2000 /* of one policy */
#define IMPORT_MAX_FILES 1000
#define IMPORT_MAX_OUTPUT_BYTES (16u * 1024 * 1024)

enum import_format {
    IMPORT_NOTATION,
    IMPORT_CONTAINERS_POLICY,
    IMPORT_CLUSTER_IMAGE_POLICY,
    IMPORT_KYVERNO,
    IMPORT_CONNAISSEUR,
    IMPORT_BINAUTHZ,
    IMPORT_FORMAT_COUNT
};

/* False where NAME is none of the formats. */
bool import_format_find(const char *name, enum import_format *out);

struct import_document {
    const char *path; /* for messages */
    struct bytes content;
};

/* A value that the documents name and do not hold. */
struct import_pair {
    const char *name;
    const char *value;
};

/* What is admitted without verification becomes one of these; without a choice it is refused. */
enum import_unverified {
    IMPORT_UNVERIFIED_REFUSED,
    IMPORT_UNVERIFIED_WARN,
    IMPORT_UNVERIFIED_AUDIT,
    IMPORT_UNVERIFIED_EXCEPTION
};

struct import_request {
    enum import_format format;
    const struct import_document *documents;
    size_t document_count;
    /* Names are "secret:NS/NAME", "attestor:…", "root:NAME", "store:KIND:NAME", "lookaside",
     * "occurrences", "cluster", "observe"; values are paths as the configuration names them. */
    const struct import_pair *settings;
    size_t setting_count;
    enum import_unverified unverified;
    const char *owner; /* of exceptions, with the three below */
    const char *approved_by;
    const char *expires;
    const char *created;
    bool can_write_files; /* inline key material and exceptions become files */
};

struct import_file {
    const char *name;
    struct bytes content;
};

enum import_class { IMPORT_T, IMPORT_N, IMPORT_A, IMPORT_X };

struct import_finding {
    enum import_class class;
    const char *file;
    uint32_t line;
    const char *path; /* "spec.authorities[1].key" */
    const char *text;
};

struct import_result {
    struct arena *arena; /* holds it all */
    struct import_finding *findings;
    size_t finding_count;
    size_t refused_count;
    struct import_file *files;
    size_t file_count;
    struct text config; /* empty where anything was refused */
};

/*
 * Import. Refusals are findings, not failures.
 *
 * Gives: *out: filled on success; import_result_done() frees
 * Fails: INTERNAL_ERROR, SIZE_LIMIT_EXCEEDED
 */
GH_CHECKED bool import_run(const struct import_request *request, struct import_result *out,
                           struct gh_error *err);
void import_result_done(struct import_result *result);
/* "translated", "no effect", "stricter", "refused". */
const char *import_class_name(enum import_class class);

#endif
