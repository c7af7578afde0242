/*
 * A TUF repository in memory, with keys made for the test: publish roles, change them, publish
 * again; drive a client against it and look at what it asked for and what it kept.
 */
#ifndef TESTS_SUPPORT_TUF_REPO_H
#define TESTS_SUPPORT_TUF_REPO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "crypto/digest.h"
#include "crypto/sjson.h"
#include "crypto/tuf.h"
#include "crypto/tuf_canonical.h"

#define REPO_NOW INT64_C(1767225600) /* 2026-01-01 */
#define REPO_LATER "2027-01-01T00:00:00Z"
#define REPO_PAST "2025-06-01T00:00:00Z"
#define REPO_KEYS 12
#define REPO_LIST 8
#define REPO_LOG 4096

enum repo_kind { REPO_ED25519, REPO_P256, REPO_RSA };

struct repo_key {
    EVP_PKEY *pkey;
    enum repo_kind kind;
    json_t *object;
    char id[65];
};

/* Which keys a role has, and which of them sign. */
struct repo_role {
    int64_t version;
    const char *expires;
    int keys[REPO_LIST];
    size_t key_count;
    int64_t threshold;
    int signers[REPO_LIST];
    size_t signer_count;
};

struct repo {
    struct repo_key keys[REPO_KEYS];
    struct repo_role roles[4]; /* by enum tuf_type */
    bool is_consistent;
    bool has_hashes;
    json_t *files;       /* path → document */
    json_t *contents;    /* target path → content */
    json_t *state;       /* what the client keeps */
    json_t *targets;     /* of the top-level role */
    json_t *delegations; /* of the top-level role; NULL without */
    json_t *meta;        /* of the snapshot */
    json_t *extra;       /* members joined to the next document that is signed; NULL without */
    char log[REPO_LOG];  /* what was fetched: "2.root timestamp 1.snapshot " */
};

static const char *const repo_names[] = {"root", "timestamp", "snapshot", "targets"};

static inline void repo_key_id(struct repo_key *key)
{
    struct bytes_buf canonical = {0};
    struct gh_error err = {0};
    struct digest digest;

    assert_true(tuf_canonical_encode(key->object, &canonical, &err));
    assert_true(digest_compute(DIGEST_SHA256, bytes_view(&canonical), &digest, &err));
    bytes_hex_encode(digest_bytes(&digest), key->id);
    bytes_buf_done(&canonical);
}

static inline char *repo_pem(EVP_PKEY *pkey)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data, *text;
    long len;

    assert_int_equal(PEM_write_bio_PUBKEY(bio, pkey), 1);
    len = BIO_get_mem_data(bio, &data);
    text = strndup(data, (size_t)len);
    BIO_free(bio);
    return text;
}

static inline void repo_key_make(struct repo_key *key, enum repo_kind kind)
{
    static const char *const types[] = {"ed25519", "ecdsa", "rsa"};
    static const char *const schemes[] = {"ed25519", "ecdsa-sha2-nistp256", "rsassa-pss-sha256"};
    char hex[65];
    char *text = hex;
    uint8_t raw[32];
    size_t len = sizeof(raw);

    key->kind = kind;
    if (kind == REPO_ED25519) {
        key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        assert_int_equal(EVP_PKEY_get_raw_public_key(key->pkey, raw, &len), 1);
        bytes_hex_encode(bytes_make(raw, len), hex);
    } else {
        key->pkey = kind == REPO_P256 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
                                      : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
        text = repo_pem(key->pkey);
    }
    key->object = json_pack("{s:s, s:s, s:{s:s}}", "keytype", types[kind], "scheme", schemes[kind],
                            "keyval", "public", text);
    if (text != hex) {
        free(text);
    }
    repo_key_id(key);
}

static inline char *repo_sign_hex(const struct repo_key *key, struct bytes message)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_ctx = NULL;
    uint8_t signature[512];
    size_t len = sizeof(signature);
    char *hex = calloc(2 * sizeof(signature) + 1, 1);

    assert_int_equal(EVP_DigestSignInit(ctx, &pkey_ctx,
                                        key->kind == REPO_ED25519 ? NULL : EVP_sha256(), NULL,
                                        key->pkey),
                     1);
    if (key->kind == REPO_RSA) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING), 1);
    }
    assert_int_equal(EVP_DigestSign(ctx, signature, &len, message.data, message.len), 1);
    bytes_hex_encode(bytes_make(signature, len), hex);
    EVP_MD_CTX_free(ctx);
    return hex;
}

/* Sign BODY (taken) with the keys; the document as text, malloc'ed. */
static inline char *repo_sign(struct repo *repo, json_t *body, const int *signers, size_t count)
{
    json_t *signatures = json_array();
    json_t *doc;
    struct bytes_buf message = {0};
    struct gh_error err = {0};
    char *text;

    if (repo->extra != NULL) {
        json_object_update(body, repo->extra);
        json_decref(repo->extra);
        repo->extra = NULL;
    }
    assert_true(tuf_canonical_encode(body, &message, &err));
    for (size_t i = 0; i < count; i++) {
        const struct repo_key *key = &repo->keys[signers[i]];
        char *hex = repo_sign_hex(key, bytes_view(&message));

        json_array_append_new(signatures, json_pack("{s:s, s:s}", "keyid", key->id, "sig", hex));
        free(hex);
    }
    bytes_buf_done(&message);
    doc = json_pack("{s:o, s:o}", "signatures", signatures, "signed", body);
    text = json_dumps(doc, JSON_INDENT(1));
    json_decref(doc);
    return text;
}

static inline void repo_put(json_t *map, const char *name, const char *text)
{
    json_object_set_new(map, name, json_string(text));
}

static inline json_t *repo_key_ids(const struct repo *repo, const int *keys, size_t count)
{
    json_t *ids = json_array();

    for (size_t i = 0; i < count; i++) {
        json_array_append_new(ids, json_string(repo->keys[keys[i]].id));
    }
    return ids;
}

static inline json_t *repo_key_map(const struct repo *repo, const int *keys, size_t count)
{
    json_t *map = json_object();

    for (size_t i = 0; i < count; i++) {
        json_object_set(map, repo->keys[keys[i]].id, repo->keys[keys[i]].object);
    }
    return map;
}

static inline json_t *repo_common(const char *type, int64_t version, const char *expires)
{
    return json_pack("{s:s, s:s, s:I, s:s}", "_type", type, "spec_version", "1.0.31", "version",
                     (json_int_t)version, "expires", expires);
}

static inline json_t *repo_meta_entry(const struct repo *repo, int64_t version, const char *text)
{
    json_t *entry = json_pack("{s:I}", "version", (json_int_t)version);
    struct gh_error err = {0};
    struct digest digest;
    char hex[65];

    if (repo->has_hashes) {
        assert_true(digest_compute(DIGEST_SHA256, bytes_of(text), &digest, &err));
        bytes_hex_encode(digest_bytes(&digest), hex);
        json_object_set_new(entry, "length", json_integer((json_int_t)strlen(text)));
        json_object_set_new(entry, "hashes", json_pack("{s:s}", "sha256", hex));
    }
    return entry;
}

static inline json_t *repo_root_body(const struct repo *repo)
{
    const struct repo_role *root = &repo->roles[TUF_ROOT];
    json_t *body = repo_common("root", root->version, root->expires);
    json_t *roles = json_object(), *keys = json_object();

    for (size_t i = 0; i < 4; i++) {
        const struct repo_role *role = &repo->roles[i];
        json_t *map = repo_key_map(repo, role->keys, role->key_count);

        json_object_update(keys, map);
        json_decref(map);
        json_object_set_new(roles, repo_names[i],
                            json_pack("{s:o, s:I}", "keyids",
                                      repo_key_ids(repo, role->keys, role->key_count), "threshold",
                                      (json_int_t)role->threshold));
    }
    json_object_set_new(body, "consistent_snapshot", json_boolean(repo->is_consistent));
    json_object_set_new(body, "keys", keys);
    json_object_set_new(body, "roles", roles);
    return body;
}

/* Sign and publish a role as it stands; its parent's entry follows. */
static inline void repo_publish(struct repo *repo, enum tuf_type type)
{
    const struct repo_role *role = &repo->roles[type];
    json_t *body = type == TUF_ROOT ? repo_root_body(repo)
                                    : repo_common(repo_names[type], role->version, role->expires);
    char path[64], file[32];
    char *text;

    if (type == TUF_TIMESTAMP) {
        json_object_set_new(
            body, "meta",
            json_pack("{s:O}", "snapshot.json", json_object_get(repo->meta, ".snapshot")));
    } else if (type == TUF_SNAPSHOT) {
        json_t *meta = json_copy(repo->meta);

        json_object_del(meta, ".snapshot");
        json_object_set_new(body, "meta", meta);
    } else if (type == TUF_TARGETS) {
        json_object_set_new(body, "targets", json_deep_copy(repo->targets));
        if (repo->delegations != NULL) {
            json_object_set(body, "delegations", repo->delegations);
        }
    }
    text = repo_sign(repo, body, role->signers, role->signer_count);
    (void)snprintf(file, sizeof(file), "%s.json", repo_names[type]);
    if (type == TUF_ROOT || (repo->is_consistent && type != TUF_TIMESTAMP)) {
        (void)snprintf(path, sizeof(path), "%lld.%s", (long long)role->version, file);
    } else {
        (void)snprintf(path, sizeof(path), "%s", file);
    }
    repo_put(repo->files, path, text);
    if (type == TUF_SNAPSHOT) {
        json_object_set_new(repo->meta, ".snapshot", repo_meta_entry(repo, role->version, text));
    } else if (type == TUF_TARGETS) {
        json_object_set_new(repo->meta, file, repo_meta_entry(repo, role->version, text));
    }
    free(text);
}

/* A new version of targets, snapshot and timestamp. */
static inline void repo_update(struct repo *repo)
{
    for (int i = TUF_TARGETS; i >= TUF_TIMESTAMP; i--) {
        repo->roles[i].version++;
        repo_publish(repo, (enum tuf_type)(i == TUF_TIMESTAMP  ? TUF_TIMESTAMP
                                           : i == TUF_SNAPSHOT ? TUF_SNAPSHOT
                                                               : TUF_TARGETS));
    }
}

/* One key per role, everything at version 1, the root in the client's state. */
static inline struct repo *repo_new(void)
{
    struct repo *repo = calloc(1, sizeof(*repo));

    for (size_t i = 0; i < REPO_KEYS; i++) {
        repo_key_make(&repo->keys[i], i % 3 == 1 ? REPO_P256 : REPO_ED25519);
    }
    repo->files = json_object();
    repo->contents = json_object();
    repo->state = json_object();
    repo->targets = json_object();
    repo->meta = json_object();
    repo->is_consistent = true;
    for (int i = 0; i < 4; i++) {
        repo->roles[i] = (struct repo_role){.version = 1,
                                            .expires = REPO_LATER,
                                            .keys = {i},
                                            .key_count = 1,
                                            .threshold = 1,
                                            .signers = {i},
                                            .signer_count = 1};
    }
    repo_publish(repo, TUF_ROOT);
    repo_publish(repo, TUF_TARGETS);
    repo_publish(repo, TUF_SNAPSHOT);
    repo_publish(repo, TUF_TIMESTAMP);
    json_object_set(repo->state, "root.json", json_object_get(repo->files, "1.root.json"));
    return repo;
}

static inline void repo_free(struct repo *repo)
{
    for (size_t i = 0; i < REPO_KEYS; i++) {
        EVP_PKEY_free(repo->keys[i].pkey);
        json_decref(repo->keys[i].object);
    }
    json_decref(repo->files);
    json_decref(repo->contents);
    json_decref(repo->state);
    json_decref(repo->targets);
    json_decref(repo->delegations);
    json_decref(repo->meta);
    json_decref(repo->extra);
    free(repo);
}

static inline json_t *repo_target_entry(const char *content)
{
    struct gh_error err = {0};
    struct digest digest;
    char hex[65];

    assert_true(digest_compute(DIGEST_SHA256, bytes_of(content), &digest, &err));
    bytes_hex_encode(digest_bytes(&digest), hex);
    return json_pack("{s:I, s:{s:s}}", "length", (json_int_t)strlen(content), "hashes", "sha256",
                     hex);
}

/* Serve CONTENT as PATH under its hash, and list it in TARGETS. */
static inline void repo_add_target(struct repo *repo, json_t *targets, const char *path,
                                   const char *content)
{
    json_t *entry = repo_target_entry(content);
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    char served[512];

    (void)snprintf(served, sizeof(served), "%.*s%s%s%s", (int)(name - path), path,
                   repo->is_consistent ? json_string_value(json_object_get(
                                             json_object_get(entry, "hashes"), "sha256"))
                                       : "",
                   repo->is_consistent ? "." : "", name);
    json_object_set_new(targets, path, entry);
    repo_put(repo->contents, served, content);
}

static inline const char *repo_text(const json_t *map, const char *name)
{
    return json_string_value(json_object_get(map, name));
}

static inline void repo_note(struct repo *repo, const char *path)
{
    size_t used = strlen(repo->log);
    size_t len = strlen(path);

    if (len > 5 && strcmp(path + len - 5, ".json") == 0) {
        len -= 5;
    }
    (void)snprintf(repo->log + used, sizeof(repo->log) - used, "%.*s ", (int)len, path);
}

/* Answer the client until it is idle. *target: what it took for the target, borrowed. */
static inline bool repo_drive(struct repo *repo, struct tuf_client *client, const char **target,
                              struct gh_error *err)
{
    struct tuf_request request;

    for (tuf_client_next(client, &request); request.kind != TUF_IDLE;
         tuf_client_next(client, &request)) {
        const char *text = NULL;
        struct bytes content;

        if (request.kind == TUF_READ) {
            text = repo_text(repo->state, request.name);
        } else if (request.kind == TUF_FETCH) {
            text = repo_text(repo->files, request.path);
            repo_note(repo, request.path);
        } else if (request.kind == TUF_TARGET) {
            text = repo_text(repo->contents, request.path);
            if (target != NULL) {
                *target = text;
            }
        } else if (request.kind == TUF_STORE) {
            json_object_set_new(
                repo->state, request.name,
                json_stringn((const char *)request.content.data, request.content.len));
        } else {
            json_object_del(repo->state, request.name);
        }
        content = bytes_of(text != NULL ? text : "");
        if (!tuf_client_answer(client, text != NULL ? &content : NULL, err)) {
            return false;
        }
    }
    return true;
}

/* Refresh from the start. Gives the cause of a failure, or zero. */
static inline enum gh_cause repo_refresh_at(struct repo *repo, int64_t now)
{
    struct tuf_client *client = NULL;
    struct gh_error err = {0};
    bool is_good;

    repo->log[0] = '\0';
    assert_true(tuf_client_new(now, &client, &err));
    is_good = repo_drive(repo, client, NULL, &err);
    tuf_client_free(client);
    assert_int_equal(is_good, err.cause == GH_CAUSE_NONE);
    return err.cause;
}

static inline enum gh_cause repo_refresh(struct repo *repo)
{
    return repo_refresh_at(repo, REPO_NOW);
}

/* Refresh and find a target. */
static inline enum gh_cause repo_find(struct repo *repo, const char *path, const char **content)
{
    struct tuf_client *client = NULL;
    struct gh_error err = {0};
    bool is_good;

    repo->log[0] = '\0';
    assert_true(tuf_client_new(REPO_NOW, &client, &err));
    is_good = repo_drive(repo, client, NULL, &err) &&
              tuf_client_find(client, bytes_of(path), &err) &&
              repo_drive(repo, client, content, &err);
    tuf_client_free(client);
    assert_int_equal(is_good, err.cause == GH_CAUSE_NONE);
    return err.cause;
}

/* The version of a document that the client keeps; 0 where it keeps none. */
static inline int64_t repo_kept(const struct repo *repo, const char *name)
{
    const char *text = repo_text(repo->state, name);
    json_t *doc = text != NULL ? json_loads(text, 0, NULL) : NULL;
    int64_t version =
        json_integer_value(json_object_get(json_object_get(doc, "signed"), "version"));

    json_decref(doc);
    return version;
}

/* A delegated role: signed with KEY, listed in the snapshot, not yet in any delegation. */
static inline void repo_publish_role(struct repo *repo, const char *name, int64_t version, int key,
                                     json_t *targets, json_t *delegations)
{
    json_t *body = repo_common("targets", version, REPO_LATER);
    char file[128], path[160];
    char *text;

    json_object_set_new(body, "targets", targets);
    if (delegations != NULL) {
        json_object_set_new(body, "delegations", delegations);
    }
    text = repo_sign(repo, body, &key, 1);
    (void)snprintf(file, sizeof(file), "%s.json", name);
    (void)snprintf(path, sizeof(path), "%s%lld.%s.json", "", (long long)version, name);
    repo_put(repo->files, repo->is_consistent ? path : file, text);
    json_object_set_new(repo->meta, file, repo_meta_entry(repo, version, text));
    free(text);
}

/* One row of a delegation: PATTERN as paths. */
static inline json_t *repo_row(const struct repo *repo, const char *name, int key,
                               const char *pattern, bool is_terminating)
{
    return json_pack("{s:s, s:[s], s:i, s:b, s:[s]}", "name", name, "keyids", repo->keys[key].id,
                     "threshold", 1, "terminating", is_terminating, "paths", pattern);
}

/* Delegations of the rows (taken), with every key there is. */
static inline json_t *repo_delegate(const struct repo *repo, json_t *rows)
{
    int all[REPO_KEYS];

    for (int i = 0; i < REPO_KEYS; i++) {
        all[i] = i;
    }
    return json_pack("{s:o, s:o}", "keys", repo_key_map(repo, all, REPO_KEYS), "roles", rows);
}

#endif
