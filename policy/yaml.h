/*
 * YAML to a bounded tree whose every node knows its line and column. libyaml gives events only, so
 * the rules that matter for a policy are here: one document, string keys, no key twice, no merge
 * keys, a cap on what aliases expand to, plain scalars read as YAML 1.2 (`off` and `no` are words).
 *
 * Spec:    YAML 1.2.2, core schema
 * Threads: a tree is immutable once made.
 */
#ifndef POLICY_YAML_H
#define POLICY_YAML_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct arena;
struct gh_error;

#define YAML_MAX_BYTES (32u * 1024 * 1024)
#define YAML_MAX_DEPTH 48
#define YAML_MAX_NODES 2000000u
#define YAML_MAX_ALIAS_NODES 100000u /* what all aliases of a document may expand to together */
#define YAML_MAX_SCALAR_BYTES (1024u * 1024)

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

/* What a scalar is. Quoted scalars are always YAML_TEXT. */
enum yaml_type { YAML_TEXT, YAML_NULL, YAML_BOOL, YAML_INT, YAML_FLOAT };

struct yaml_node {
    enum yaml_kind kind;
    enum yaml_type type;           /* scalars */
    uint32_t line, column;         /* from 1 */
    uint32_t end_line, end_column; /* just past a scalar or a flow collection */
    uint32_t count;                /* children */
    uint32_t height;               /* 0 for scalars, else one more than the highest child */
    bool is_flow;                  /* written as [ ] or { } */
    const char *text;              /* scalar; NUL-terminated and without NUL inside */
    const char *key;               /* in a map: its key */
    uint32_t key_line, key_column;
    bool boolean;                  /* YAML_BOOL */
    const struct yaml_node *child; /* first child of a list or map */
    const struct yaml_node *next;  /* next sibling */
};

/*
 * Read one document.
 *
 * Takes:  arena: borrowed; the tree lives in it
 * Gives:  *out: the root, borrowed from the arena; NULL for an empty document
 *         *line, *column: where it failed (0 when not known)
 * Fails:  MALFORMED_JSON with the rule that was broken, SIZE_LIMIT_EXCEEDED, COUNT_LIMIT_EXCEEDED,
 *         DUPLICATE_JSON_KEY, INTERNAL_ERROR
 * Limits: YAML_MAX_*
 */
GH_CHECKED bool yaml_read(struct bytes in, struct arena *arena, const struct yaml_node **out,
                          uint32_t *line, uint32_t *column, struct gh_error *err);

/* The value under KEY of a map, or NULL. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);
/* The INDEXth child, or NULL. */
const struct yaml_node *yaml_at(const struct yaml_node *node, size_t index);
/* "a list", "the text \"x\"", … for messages; cut to SIZE. */
const char *yaml_describe(const struct yaml_node *node, char *out, size_t size);

#endif
