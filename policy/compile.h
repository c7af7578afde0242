/*
 * One file on its way from what was written to a tenant's snapshot. Every step records the problems
 * it finds and goes on, so that all are found in one go; nothing is used once there is an error.
 */
#ifndef POLICY_COMPILE_H
#define POLICY_COMPILE_H

#include "gatehouse.h"
#include "policy/config_raw.h"
#include "policy/config_schema.h"
#include "policy/fingerprint.h"
#include "policy/snapshot.h"

struct trustroot;
struct notation_store;

/* What the arena does not free by itself. */
struct compile_owned {
    struct compile_owned *next;
    void *object;
    void (*free)(void *object);
};

enum compile_root_kind { COMPILE_ROOT_NONE, COMPILE_ROOT_SIGSTORE, COMPILE_ROOT_X509 };

struct compile_root {
    const struct config_raw_root *raw;
    enum compile_root_kind kind;
    const struct trustroot *sigstore; /* NULL: never fetched, or faulty */
    const struct notation_store *x509;
    struct digest fingerprint; /* of its content */
    int64_t stale_at_unix_s;   /* INT64_MAX: never */
    struct bytes initial;      /* of TUF: root.json, in the arena */
    int64_t refreshed_unix_s;  /* of TUF; 0: never */
    bool is_used;
    bool has_crl;
};

struct compile_signer {
    const struct config_raw_signer *raw;
    struct signer *signer; /* NULL where it was faulty */
    bool is_used;
};

struct compile {
    struct config_reader reader;
    struct config *config;
    struct config_tenant *tenant;
    struct config_raw raw;
    struct compile_owned **owned; /* list of the configuration */

    struct compile_root *roots;
    struct compile_signer *signers;

    const struct require **leaves;
    size_t leaf_count, leaf_room;
    uint32_t *leaf_slots; /* by fingerprint */
    size_t leaf_slot_count;

    struct policy *policies;
    struct exception *exceptions;
};

void *compile_alloc(struct compile *compile, size_t count, size_t size);
/* Free OBJECT with the configuration; at once when memory is out (then false). */
bool compile_keep(struct compile *compile, void *object, void (*release)(void *object));
/*
 * Read a file that NODE names. Problems are recorded at NODE.
 * Gives: *out: new, bytes_buf_done()
 */
bool compile_read(struct compile *compile, const struct yaml_node *node, const char *path,
                  size_t limit, bool is_secret, struct bytes_buf *out);
/* The node under KEY of what AT was read from, or that node itself. */
const struct yaml_node *compile_node(const struct config_at *at, const char *key);
const struct yaml_node *compile_item(const struct config_at *at, const char *key, size_t index);

/* trust.c, trust_root.c */
void compile_roots(struct compile *compile);
struct compile_root *compile_root_find(struct compile *compile, const char *name,
                                       const struct yaml_node *node, enum compile_root_kind kind);
void compile_signers(struct compile *compile);
/* The signer of that name, marked as used; NULL when there is none (recorded) or it is faulty. */
const struct signer *compile_signer_find(struct compile *compile, const char *name,
                                         const struct yaml_node *node);
void compile_unused(struct compile *compile);

/* config_lint.c */
void compile_lint(struct compile *compile);

/* config_require.c */
bool compile_require(struct compile *compile, const struct config_raw_require *raw,
                     struct policy_expr *out);
bool compile_require_list(struct compile *compile, const struct config_raw_requires *raw,
                          struct policy_expr *out);
/* config_attestation.c */
bool compile_attestation(struct compile *compile, const struct config_raw_require *raw,
                         struct require *leaf, struct fingerprint *fingerprint);

/* config_policy.c */
void compile_policies(struct compile *compile);
void compile_tests(struct compile *compile);
/* The policy of that name, or NULL. */
const struct policy *compile_policy_find(const struct compile *compile, const char *name);

/* exception.c */
void compile_exceptions(struct compile *compile);

/* config_check.c: what concerns the process, and what the shell does for one tenant */
void compile_process(struct compile *compile);
void compile_upstreams(struct compile *compile);
void compile_shell(struct compile *compile);

/* config_tenant.c: the list of tenants, and what their files may not say */
bool compile_tenants(struct compile *compile);
void compile_tenant_keys(struct compile *compile);

#endif
