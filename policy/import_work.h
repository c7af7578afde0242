/*
 * What the importers of all formats share: where a value stands, classes of fields, and the
 * configuration under construction. Private to policy/import*.c.
 *
 * Threads: as import.h
 */
#ifndef POLICY_IMPORT_WORK_H
#define POLICY_IMPORT_WORK_H

#include "policy/import.h"
#include "policy/yaml.h"

/* A value and its path from the root of its document. */
struct import_at {
    const struct yaml_node *node; /* NULL: absent */
    const char *path;
    const struct import_tree *tree;
};

struct import_tree {
    const char *file;
    uint32_t line_base; /* lines of the file in front of the document */
    const struct yaml_node *root;
};

struct import_field {
    const char *name;
    enum import_class class;
    const char *note; /* why, and for a refusal what to write instead; NULL for IMPORT_T */
};

struct import_strings {
    const char **items;
    size_t count;
    size_t room;
};

/* A named block of `roots` or `signers`. */
struct import_block {
    const char *name;
    const char *body;
};

struct import_blocks {
    struct import_block *items;
    size_t count;
    size_t room;
};

enum import_decision { IMPORT_VERIFY, IMPORT_UNVERIFIED, IMPORT_REJECT };

struct import_policy {
    const char *name;
    struct import_at at;
    struct import_strings images;
    struct import_strings except;
    const char *mode;    /* "deny" by default */
    const char *require; /* items of the list, for IMPORT_VERIFY */
    enum import_decision decision;
    bool is_digest_required;
    uint64_t rank; /* for formats where the most specific wins */
};

struct import_work {
    const struct import_request *request;
    struct import_result *result;
    struct arena *arena;
    const struct import_tree *trees;
    size_t tree_count;
    size_t finding_room;
    size_t file_room;
    struct import_blocks roots;
    struct import_blocks signers;
    struct import_strings upstreams;
    struct import_policy *policies;
    size_t policy_count;
    size_t policy_room;
    bool is_exhausted; /* memory or a limit */
    char nothing[1];   /* what is given where memory is out; the import fails at its end */
    struct import_policy spare;
};

/* --- reading ------------------------------------------------------------------------------ */

struct import_at import_root(const struct import_tree *tree);
struct import_at import_get(struct import_work *work, struct import_at at, const char *key);
struct import_at import_item(struct import_work *work, struct import_at at, size_t index);
size_t import_count(struct import_at at);
/* Record a finding; IMPORT_X refuses the import. Always false. */
bool import_say(struct import_work *work, enum import_class class, struct import_at at,
                const char *format, ...) GH_PRINTF(4, 5);
#define import_refuse(work, at, ...) import_say(work, IMPORT_X, at, __VA_ARGS__)
/* Give every field of a map its class. False where it is no map; unknown fields are refused. */
bool import_map(struct import_work *work, struct import_at at, const struct import_field *fields,
                size_t count);
#define IMPORT_MAP(work, at, fields) import_map(work, at, fields, GH_COUNT(fields))
/* A list with at least MIN items; refused otherwise. An absent one is a list where MIN is 0. */
bool import_list(struct import_work *work, struct import_at at, size_t min);
/* The text of a scalar; NULL and refused where it is something else; NULL where it is absent. */
const char *import_text(struct import_work *work, struct import_at at);
/* The same, refused where it is absent or empty. */
const char *import_need(struct import_work *work, struct import_at at);
bool import_bool(struct import_work *work, struct import_at at, bool otherwise);
int64_t import_int(struct import_work *work, struct import_at at, int64_t otherwise);
/* Index in WORDS ("a|b"), or -1 and refused. */
int import_word(struct import_work *work, struct import_at at, const char *words);
/* A setting of the request, or NULL. NAME is KIND, or KIND ":" NAME. */
const char *import_setting(struct import_work *work, const char *kind, const char *name);

/* --- building ----------------------------------------------------------------------------- */

char *import_printf(struct import_work *work, const char *format, ...) GH_PRINTF(2, 3);
/* As JSON text, which is YAML. */
const char *import_quote(struct import_work *work, const char *text);
void import_append(struct import_work *work, struct import_strings *list, const char *text);
/* The name under which BODY stands; equal bodies share one. PREFERRED is made fit. */
const char *import_root_add(struct import_work *work, const char *preferred, const char *body);
const char *import_signer_add(struct import_work *work, const char *preferred, const char *body);
const char *import_name(struct import_work *work, const char *text);
/* Never NULL; holds until the next one is added. */
struct import_policy *import_policy_add(struct import_work *work, struct import_at at,
                                        const char *name);
/* A file beside the configuration; gives its path, or NULL and refused where none are written. */
const char *import_file_add(struct import_work *work, struct import_at at, const char *stem,
                            const char *suffix, struct bytes content);
/* Paths of the PEM keys in TEXT, one file each, appended to OUT; refused where one is no key. */
bool import_keys(struct import_work *work, struct import_at at, const char *stem, const char *text,
                 struct import_strings *out);
/* `{any: [...]}` of several items, the item alone of one. KIND is "any" or "all". */
const char *import_combine(struct import_work *work, const char *kind,
                           const struct import_strings *items);
/* The root for what SIGSTORE material a document names: "public", or a root of the settings. */
const char *import_sigstore_root(struct import_work *work, struct import_at at, const char *name);
/* A regular expression that matches whole what FORMAT's matched anywhere; NULL and refused. */
const char *import_regex(struct import_work *work, struct import_at at, const char *text);
/* "issuer: …" or "issuer_regex: …" of AT's exactly one of KEY and KEY with SUFFIX, which has an
 * expression as import_regex() reads it; NULL and refused. */
const char *import_either(struct import_work *work, struct import_at at, const char *key,
                          const char *suffix);
/* Text with `*` and `?` as a glob or regular expression: "subject: …" or "subject_regex: …". */
const char *import_wildcard(struct import_work *work, struct import_at at, const char *key,
                            const char *text);

/* How the patterns of a format read. */
enum import_star { IMPORT_STAR_COMPONENT, IMPORT_STAR_CROSSES };
/*
 * Patterns that match the names TEXT matches; several where `*` may stand for components, too.
 * Tags are judged by TAGS: IMPORT_X refuses a pattern for some tags, IMPORT_A takes all tags.
 */
bool import_pattern(struct import_work *work, struct import_at at, const char *text,
                    enum import_star star, enum import_class tags, struct import_strings *out);
/* Check one pattern of the configuration and append it; remembers its upstream. */
bool import_pattern_add(struct import_work *work, struct import_at at, const char *pattern,
                        struct import_strings *out);
/* Write the configuration; policies that reject become `except` of all others. */
void import_write(struct import_work *work);

void import_notation(struct import_work *work);
void import_containers(struct import_work *work);
void import_cluster_image_policy(struct import_work *work);
void import_kyverno(struct import_work *work);
void import_connaisseur(struct import_work *work);
void import_binauthz(struct import_work *work);

#endif
