/*
 * The configuration: one immutable, reference counted value compiled from files. Its language is
 * described once, in config_table.c; parser, defaults, documentation and JSON Schema come from
 * there. All faults are found in one go.
 *
 * Threads: immutable once loaded; reference counted with atomics.
 */
#ifndef POLICY_CONFIG_H
#define POLICY_CONFIG_H

#include "crypto/bytes.h"
#include "gatehouse.h"
#include "policy/snapshot.h"

struct arena;
struct gh_error;
struct trustroot;
struct yaml_node;

#define CONFIG_MAX_FILE_BYTES (32u * 1024 * 1024)
#define CONFIG_MAX_MATERIAL_BYTES (8u * 1024 * 1024)
#define CONFIG_MAX_PROBLEMS 200
#define CONFIG_MAX_TENANTS 1024

/* Which trust root's state is asked for; borrowed for the call. */
struct config_tuf_ask {
    const char *storage; /* storage.path */
    const char *tenant;
    const char *root;
    const char *url;
    struct bytes initial_root;
};

/* Trust roots that are refreshed while running come as last fetched. */
struct config_tuf_state {
    struct bytes_buf trusted_root; /* empty: none was ever fetched */
    int64_t refreshed_unix_s;      /* last successful refresh */
    char problem[200];             /* why what was fetched cannot be used; "" otherwise */
};

/* Where files come from. The shell gives the real one; tests and `policy import` give others. */
/* What the content of files must be good for. */
enum config_proof {
    CONFIG_PROOF_NONE = 0,
    CONFIG_PROOF_USERS,          /* one: an htpasswd file */
    CONFIG_PROOF_AUTHORITIES,    /* one: PEM certificates */
    CONFIG_PROOF_CHECKPOINT_KEY, /* one: a key that signs checkpoints */
    CONFIG_PROOF_TLS             /* three: certificate, key, authorities of clients (or empty) */
};
#define CONFIG_PROOF_MAX_FILES 3

struct config_loader {
    void *context;
    /* Read a whole file. *mode: its permission bits. Fails: SIZE_LIMIT_EXCEEDED, NAME_UNKNOWN. */
    bool (*read)(void *context, const char *path, size_t limit, struct bytes_buf *out,
                 unsigned *mode, struct gh_error *err);
    /* A variable of the environment, or NULL. */
    const char *(*env)(void *context, const char *name);
    /* The state of a TUF root; false when there is none. May be NULL. */
    bool (*tuf)(void *context, const struct config_tuf_ask *ask, struct config_tuf_state *out);
    /* Whether files whose form this side does not know can be used. May be NULL: they can. */
    bool (*prove)(void *context, enum config_proof proof,
                  const struct bytes contents[CONFIG_PROOF_MAX_FILES], struct gh_error *err);
};

enum config_severity { CONFIG_ERROR, CONFIG_WARNING };

struct config_problem {
    enum config_severity severity;
    char *file;
    uint32_t line, column; /* 0 where not known */
    char *message;         /* one sentence: what was found, what was expected, nearest name */
    char *found;           /* "" where they do not apply */
    char *expected;
    char *nearest;
};

struct config_problems {
    struct config_problem *items; /* by file, line, column */
    size_t count, capacity;
    size_t error_count;
    size_t dropped; /* past CONFIG_MAX_PROBLEMS */
};
void config_problems_done(struct config_problems *problems);

/* Where a value stands; the first member of every struct below that is read from a mapping. */
struct config_at {
    const char *name; /* the key of a named mapping ("ghcr.io"), or NULL */
    const char *file;
    const struct yaml_node *node;
};

struct config_strings {
    const char **items;
    size_t count;
};

struct config_pair {
    const char *name;
    const char *value;
};

struct config_pairs {
    struct config_pair *items;
    size_t count;
};

struct config_tls {
    struct config_at at;
    const char *certificate; /* path */
    const char *key;         /* path */
    const char *client_ca;   /* path or NULL */
};

struct config_listen {
    struct config_at at;
    const char *address; /* host:port */
    struct config_tls *tls;
};

struct config_listens {
    struct config_listen *items;
    size_t count;
};

struct config_admin {
    struct config_at at;
    const char *address;
    const char *token_file;
    const char *token; /* read from token_file, or NULL */
    struct config_tls *tls;
};

struct config_storage {
    struct config_at at;
    const char *path;
    int64_t max_size_bytes;
};

struct config_limits {
    struct config_at at;
    int64_t connections;
    int64_t connections_per_address;
    int64_t header_timeout_s;
    int64_t idle_timeout_s;
    int64_t manifest_bytes;
    int64_t evidence_bytes;
    int64_t candidates;
    int64_t verification_time_s;
    int64_t evidence_memory_bytes;
};

struct config_cache {
    struct config_at at;
    int64_t tag_ttl_s;
    int64_t tag_stale_s;
    int64_t verdict_ttl_s;
    int64_t denial_ttl_s;
    int64_t revocation_refresh_s;
};

/* Where copies of audit records go. */
struct config_audit_sink {
    struct config_at at;
    const char *url;
    const char *ca;         /* path or NULL */
    const char *token_file; /* path or NULL */
    const char *token;      /* read from token_file, or NULL */
    int64_t queue_bytes;
};

struct config_audit {
    struct config_at at;
    const char *path;           /* default: audit.jsonl in storage.path */
    const char *checkpoint_key; /* path or NULL */
    int64_t checkpoint_every_s;
    int on_failure;                 /* deny alone */
    struct config_audit_sink *sink; /* NULL: none */
};

struct config_log {
    struct config_at at;
    const char *access; /* path; NULL: no access log */
};

struct config_fetch {
    struct config_at at;
    struct config_pairs rewrite; /* prefix to replacement, longest prefix first */
};

struct config_credentials {
    struct config_at at;
    const char *username;
    const char *password_file;
    const char *password_env; /* "${NAME}" as written */
    const char *password;     /* from the file or the environment */
};

enum config_referrers {
    CONFIG_REFERRERS_AUTO,
    CONFIG_REFERRERS_API,
    CONFIG_REFERRERS_TAG,
    CONFIG_REFERRERS_BOTH
};

struct config_upstream {
    struct config_at at; /* at.name: "ghcr.io" */
    const char *url;     /* without a trailing slash */
    struct config_strings auth_hosts;
    struct config_credentials *credentials;
    const char *ca; /* path or NULL */
    int64_t concurrency;
    int64_t requests_per_second;
    struct config_strings redirect_hosts;
    int referrers; /* enum config_referrers */
};

struct config_upstreams {
    struct config_upstream *items; /* sorted by name */
    size_t count;
};

struct config_token {
    struct config_at at;
    const char *key;    /* path or NULL */
    const char *secret; /* read from it; NULL: one is made at start */
    int64_t ttl_s;
};

struct config_clients {
    struct config_at at;
    const char *htpasswd; /* path or NULL */
    bool is_mtls;
    bool is_passthrough;
    struct config_token *token; /* NULL: Basic authentication */
    const char *realm;          /* URL of the token endpoint as clients see it; NULL: by Host */
};

/* What a tenant may use; 0: as much as there is. */
struct config_quota {
    struct config_at at;
    int64_t requests_per_second;
    int64_t concurrent_requests;
    int64_t bytes_per_day;
};

struct config_tenant {
    const char *name;                 /* "default" for the main file */
    const struct config_quota *quota; /* NULL: none */
    const char *file;
    struct config_strings hosts; /* without ports */
    const char *prefix;          /* NULL: none */
    struct config_upstreams upstreams;
    const char *default_upstream; /* NULL when there is none */
    struct config_clients clients;
    struct snapshot snapshot;
    const char *exceptions_file;     /* path; NULL when there is none */
    const struct config_root *roots; /* as the file names them */
    size_t root_count;
};

/* A root of trust, for those who refresh it or watch over its end. */
struct config_root {
    const char *name;
    const char *source;        /* URL, or path of its first file */
    const char *url;           /* of the TUF repository; NULL: comes from files */
    struct bytes initial_root; /* with a URL: the root.json that trust starts from */
    int64_t max_age_s;         /* with a URL */
    int64_t refreshed_unix_s;  /* with a URL; 0: never fetched */
    int64_t stale_at_unix_s;   /* INT64_MAX: never */
    int64_t ends_unix_s;       /* when its last authority has ended; for certificate stores when
                                  the first certificate has; INT64_MAX: never */
    int64_t lists_end_unix_s;  /* the first nextUpdate of its revocation lists; INT64_MAX: none */
    const struct digest *content;     /* fingerprint of what is in force; NULL: nothing is */
    const struct trustroot *sigstore; /* its logs and authorities; NULL: nothing is in force, or
                                         it is a certificate store */
    int64_t probe_s;                  /* 0: its logs are not watched */
};

struct config {
    const char *file;
    struct config_listens listen;
    struct config_admin admin;
    int64_t workers; /* 0: one per core */
    struct config_storage storage;
    struct config_limits limits;
    struct config_cache cache;
    struct config_audit audit;
    struct config_log log;
    struct config_fetch fetch;
    bool is_offline;
    struct config_tenant *tenants; /* [0] is the main file's */
    size_t tenant_count;
    struct digest fingerprint; /* of everything above */
    const char *fingerprint_text;
    struct arena *arena; /* holds it all */
    int references;      /* atomic */
};

/*
 * Load FILE and what it names.
 *
 * Takes:   now_unix_s: decides what is expired (warnings), runs `tests`
 * Gives:   *out: new, config_unref(), only when there is no error among the problems
 *          *problems: config_problems_done(); warnings also on success
 * Fails:   when there is an error among the problems; the error is the first of them
 * Threads: any
 */
GH_CHECKED bool config_load(const struct config_loader *loader, const char *file,
                            int64_t now_unix_s, struct config **out,
                            struct config_problems *problems, struct gh_error *err);
struct config *config_ref(struct config *config);
void config_unref(struct config *config);
GH_UNUSED static inline void config_unrefp(struct config **config)
{
    config_unref(*config);
    *config = NULL;
}

/* The tenant of that name ("default" is the main file's), or NULL. */
const struct config_tenant *config_tenant_find(const struct config *config, const char *name);

/* Whether a rule of `fetch.rewrite` with that prefix is for URL. */
bool config_rewrite_matches(const char *prefix, const char *url);

/* The upstream of that name (Docker Hub's aliases understood), or NULL. */
const struct config_upstream *config_tenant_upstream(const struct config_tenant *tenant,
                                                     const char *name);

#endif
