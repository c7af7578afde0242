/*
 * Sigstore evidence for tests: cases of tests/fixtures/sigstore, and evidence signed on the spot
 * with keys made by OpenSSL. Include after cmocka.h.
 */
#ifndef TESTS_SUPPORT_SIGSTORE_CASE_H
#define TESTS_SUPPORT_SIGSTORE_CASE_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/dsse.h"
#include "crypto/evidence.h"
#include "crypto/key.h"
#include "crypto/pattern.h"
#include "crypto/signer.h"
#include "crypto/trustroot.h"
#include "gatehouse.h"

#define SIGSTORE_CASE_NOW 1795219200 /* 2026-11-21 */
#define SIGSTORE_CASE_MANIFEST "{\"schemaVersion\":2}"
#define SIGSTORE_CASE_NAME "registry.example.test/app"
#define SIGSTORE_CASE_SIGN "https://sigstore.dev/cosign/sign/v1"

struct sigstore_case {
    json_t *file;
    struct evidence_subject subject;
    struct evidence_item item;
    struct evidence_annotation annotations[16];
};

GH_UNUSED static struct bytes_buf case_read(const char *name)
{
    struct bytes_buf out = {0};
    char path[1024];
    FILE *file;
    long len;

    (void)snprintf(path, sizeof(path), "%s/fixtures/%s", getenv("GH_TEST_DATA"), name);
    file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("%s is missing", path);
    }
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    len = ftell(file);
    rewind(file);
    out.data = malloc((size_t)len + 1);
    out.len = (size_t)len;
    assert_int_equal(fread(out.data, 1, out.len, file), out.len);
    (void)fclose(file);
    return out;
}

GH_UNUSED static void case_load(const char *name, struct sigstore_case *out)
{
    struct gh_error err = {0};
    struct bytes_buf text;
    char path[256];
    const char *kind;
    const char *key;
    json_t *value;

    memset(out, 0, sizeof(*out));
    (void)snprintf(path, sizeof(path), "sigstore/%s.json", name);
    text = case_read(path);
    out->file = json_loadb((const char *)text.data, text.len, 0, NULL);
    assert_non_null(out->file);
    bytes_buf_done(&text);
    kind = json_string_value(json_object_get(out->file, "kind"));
    out->subject.name = json_string_value(json_object_get(out->file, "name"));
    out->subject.manifest = bytes_of(json_string_value(json_object_get(out->file, "manifest")));
    assert_true(digest_parse(bytes_of(json_string_value(json_object_get(out->file, "digest"))),
                             &out->subject.digest, &err));
    out->item.kind = strcmp(kind, "bundle") == 0 ? EVIDENCE_BUNDLE
                     : strcmp(kind, "sig") == 0  ? EVIDENCE_COSIGN_SIGNATURE
                                                 : EVIDENCE_COSIGN_ATTESTATION;
    out->item.location = name;
    out->item.blob = bytes_of(json_string_value(json_object_get(out->file, "blob")));
    out->item.annotations = out->annotations;
    json_object_foreach (json_object_get(out->file, "annotations"), key, value) {
        out->annotations[out->item.annotation_count].name = key;
        out->annotations[out->item.annotation_count++].value = json_string_value(value);
    }
    assert_true(digest_compute(DIGEST_SHA256, out->item.blob, &out->item.digest, &err));
}

GH_UNUSED static void case_done(struct sigstore_case *item)
{
    json_decref(item->file);
}

/* A signer with everything it owns. */
struct case_signer {
    struct signer signer;
    struct signer_key keys[4];
    struct signer_claim claims[2];
    struct trustroot *root;
    EVP_PKEY *evp;
};

GH_UNUSED static void case_signer_done(struct case_signer *made)
{
    for (size_t i = 0; i < made->signer.key_count; i++) {
        key_free(made->keys[i].key);
    }
    pattern_free(made->signer.issuer);
    pattern_free(made->signer.subject);
    for (size_t i = 0; i < made->signer.claim_count; i++) {
        pattern_free(made->claims[i].pattern);
    }
    trustroot_free(made->root);
    EVP_PKEY_free(made->evp);
    memset(made, 0, sizeof(*made));
}

GH_UNUSED static void case_signer_add_key(struct case_signer *made, EVP_PKEY *evp)
{
    struct signer_key *key = &made->keys[made->signer.key_count++];
    struct gh_error err = {0};

    assert_true(key_from_evp(evp, &key->key, &err));
    key->source = (char *)"test.pub";
    key->not_before_unix_s = INT64_MIN;
    key->not_after_unix_s = INT64_MAX;
}

/* A signer with one fresh key: "P-256", "P-384", "P-521", "RSA", "ED25519". */
GH_UNUSED static void case_signer_keys(const char *type, struct case_signer *made)
{
    memset(made, 0, sizeof(*made));
    made->signer.name = (char *)"release";
    made->signer.type = SIGNER_KEYS;
    made->signer.timestamp = SIGNER_OPTIONAL;
    made->signer.keys = made->keys;
    made->evp = strcmp(type, "RSA") == 0       ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                : strcmp(type, "ED25519") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                               : EVP_PKEY_Q_keygen(NULL, NULL, "EC", type);
    assert_non_null(made->evp);
    case_signer_add_key(made, made->evp);
}

GH_UNUSED static void case_signer_root(struct case_signer *made, const char *file)
{
    struct gh_error err = {0};
    struct bytes_buf text = case_read(file);

    trustroot_free(made->root);
    made->root = NULL;
    if (!trustroot_parse(bytes_view(&text), &made->root, &err)) {
        fail_msg("%s: %s", file, err.text);
    }
    bytes_buf_done(&text);
    made->signer.root = made->root;
    made->signer.root_fingerprint = *trustroot_fingerprint(made->root);
    made->signer.is_root_named = true;
}

GH_UNUSED static struct pattern *case_pattern(const char *text)
{
    struct pattern *pattern = NULL;
    struct gh_error err = {0};

    assert_true(pattern_new(PATTERN_EXACT, bytes_of(text), &pattern, &err));
    return pattern;
}

/* The identity a fixture names, with its private stack's root. */
GH_UNUSED static void case_signer_keyless(const struct sigstore_case *item,
                                          struct case_signer *made)
{
    const json_t *policy = json_object_get(item->file, "policy");

    memset(made, 0, sizeof(*made));
    made->signer.name = (char *)"ci";
    made->signer.type = SIGNER_KEYLESS;
    made->signer.tlog = SIGNER_REQUIRED;
    made->signer.sct = SIGNER_REQUIRED;
    made->signer.timestamp = SIGNER_OPTIONAL;
    made->signer.issuer =
        case_pattern(json_string_value(json_object_get(policy, "certificate_oidc_issuer")));
    made->signer.subject =
        case_pattern(json_string_value(json_object_get(policy, "certificate_identity")));
    made->signer.claims = made->claims;
    case_signer_root(made, "logs/trusted_root.json");
}

/* Base64 of a signature by EVP: new, free(). MD is NULL for Ed25519. */
GH_UNUSED static char *case_sign(EVP_PKEY *evp, const char *md, struct bytes message)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t raw[1024];
    size_t len = sizeof(raw);

    assert_int_equal(EVP_DigestSignInit_ex(context, NULL, md, NULL, NULL, evp, NULL), 1);
    assert_int_equal(EVP_DigestSign(context, raw, &len, message.data, message.len), 1);
    EVP_MD_CTX_free(context);
    return bytes_base64_encode(bytes_make(raw, len), BYTES_BASE64_STANDARD);
}

GH_UNUSED static void case_subject(struct evidence_subject *out)
{
    struct gh_error err = {0};

    memset(out, 0, sizeof(*out));
    out->manifest = bytes_of(SIGSTORE_CASE_MANIFEST);
    out->media_type = "application/vnd.oci.image.manifest.v1+json";
    out->name = SIGSTORE_CASE_NAME;
    out->tag = "v1";
    assert_true(digest_compute(DIGEST_SHA256, out->manifest, &out->digest, &err));
}

/* A statement about the subject: new, free(). */
GH_UNUSED static char *case_statement(const struct evidence_subject *subject, const char *type)
{
    char hex[DIGEST_MAX_TEXT];
    char *out = NULL;

    bytes_hex_encode(digest_bytes(&subject->digest), hex);
    assert_true(asprintf(&out,
                         "{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{\"name\":"
                         "\"" SIGSTORE_CASE_NAME "\",\"digest\":{\"sha256\":\"%s\"},"
                         "\"annotations\":{\"env\":\"prod\"}}],\"predicateType\":\"%s\","
                         "\"predicate\":{\"risk\":\"low\"}}",
                         hex, type) > 0);
    return out;
}

/* The JSON of an envelope over TEXT: new, json_decref(). */
GH_UNUSED static json_t *case_envelope(EVP_PKEY *evp, const char *md, const char *type,
                                       struct bytes text)
{
    struct bytes_buf pae = {0};
    struct gh_error err = {0};
    char *payload = bytes_base64_encode(text, BYTES_BASE64_STANDARD);
    char *signature;
    json_t *out;

    assert_true(dsse_pae(bytes_of(type), text, &pae, &err));
    signature = case_sign(evp, md, bytes_view(&pae));
    out = json_pack("{s:s,s:s,s:[{s:s}]}", "payload", payload, "payloadType", type, "signatures",
                    "sig", signature);
    assert_non_null(out);
    free(signature);
    free(payload);
    bytes_buf_done(&pae);
    return out;
}

/* A bundle v0.3 signed by a key, with the hint cosign writes; CONTENT is taken. */
GH_UNUSED static json_t *case_key_bundle(const struct key *key, const char *member, json_t *content)
{
    char *hint = bytes_base64_encode(digest_bytes(key_fingerprint(key)), BYTES_BASE64_STANDARD);
    json_t *out = json_pack("{s:s,s:{s:{s:s}},s:o}", "mediaType",
                            "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial",
                            "publicKey", "hint", hint, member, content);

    assert_non_null(out);
    free(hint);
    return out;
}

GH_UNUSED static json_t *case_get(json_t *doc, const char *pointer)
{
    char path[256];
    char *rest;
    char *part;
    json_t *at = doc;

    (void)snprintf(path, sizeof(path), "%s", pointer);
    rest = path[0] == '/' ? path + 1 : NULL; /* the empty pointer is the document */
    while (rest != NULL && (part = strsep(&rest, "/")) != NULL) {
        at = json_is_array(at) ? json_array_get(at, (size_t)strtoul(part, NULL, 10))
                               : json_object_get(at, part);
        assert_non_null(at);
    }
    return at;
}

/* Set the element at POINTER; a NULL value removes it. VALUE is taken. */
GH_UNUSED static void case_set(json_t *doc, const char *pointer, json_t *value)
{
    char path[256];
    char *last;
    json_t *at;

    (void)snprintf(path, sizeof(path), "%s", pointer);
    last = strrchr(path, '/');
    *last++ = '\0';
    at = case_get(doc, path);
    if (json_is_array(at)) {
        size_t index = (size_t)strtoul(last, NULL, 10);

        assert_int_equal(
            value != NULL ? json_array_set_new(at, index, value) : json_array_remove(at, index), 0);
    } else if (value != NULL) {
        assert_int_equal(json_object_set_new(at, last, value), 0);
    } else {
        assert_int_equal(json_object_del(at, last), 0);
    }
}

/* One bit of a base64 member changes: of byte INDEX, from the end where negative. */
GH_UNUSED static void case_flip(json_t *doc, const char *pointer, int index)
{
    const char *text = json_string_value(case_get(doc, pointer));
    struct bytes_buf raw = {0};
    struct gh_error err = {0};
    char *encoded;

    assert_true(bytes_base64_decode(bytes_of(text), BYTES_BASE64_STANDARD, &raw, &err));
    raw.data[index < 0 ? (int)raw.len + index : index] ^= 1;
    encoded = bytes_base64_encode(bytes_view(&raw), BYTES_BASE64_STANDARD);
    case_set(doc, pointer, json_string(encoded));
    free(encoded);
    bytes_buf_done(&raw);
}

#endif
