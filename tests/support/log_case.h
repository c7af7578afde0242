/*
 * A signature with its certificate, log entries and time stamps, read loosely from a bundle or a
 * legacy layer so that tests can change any part before it is verified. Include after cmocka.h.
 */
#ifndef TESTS_SUPPORT_LOG_CASE_H
#define TESTS_SUPPORT_LOG_CASE_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "crypto/key.h"
#include "crypto/rekor.h"
#include "crypto/rekor_entry.h"
#include "crypto/sjson.h"
#include "crypto/trustroot.h"
#include "crypto/tsa.h"
#include "crypto/x509.h"
#include "gatehouse.h"
#include "metrics/error.h"

#define LOG_CASE_NOW 1795219200 /* 2026-11-21 */

struct log_case {
    struct trustroot *root;
    json_t *doc;
    struct x509_cert *leaf;
    struct key *key; /* when there is no certificate */
    struct bytes_buf signature;
    struct bytes_buf payload;
    struct bytes_buf message; /* what is signed: the artifact or the PAE */
    struct bytes_buf token;   /* the first time stamp */
    struct rekor_entry entries[REKOR_MAX_ENTRIES];
    size_t entry_count;
    struct rekor_signed what;
    struct rekor_options options;
};

GH_UNUSED static struct bytes_buf log_case_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct bytes_buf out = {0};
    long len;

    if (file == NULL) {
        return out;
    }
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    len = ftell(file);
    assert_true(len >= 0);
    assert_int_equal(fseek(file, 0, SEEK_SET), 0);
    out.data = malloc((size_t)len + 1);
    out.len = (size_t)len;
    assert_non_null(out.data);
    assert_int_equal(fread(out.data, 1, out.len, file), out.len);
    (void)fclose(file);
    return out;
}

/* A file of tests/fixtures/logs; must be there. */
GH_UNUSED static struct bytes_buf log_case_fixture(const char *name)
{
    const char *data = getenv("GH_TEST_DATA");
    struct bytes_buf out;
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/fixtures/logs/%s", data != NULL ? data : "tests", name);
    out = log_case_file(path);
    assert_non_null(out.data);
    return out;
}

GH_UNUSED static struct trustroot *log_case_root(const char *name)
{
    struct bytes_buf file = log_case_fixture(name);
    struct trustroot *root = NULL;

    assert_true(trustroot_parse(bytes_view(&file), &root, NULL));
    bytes_buf_done(&file);
    return root;
}

static void log_case_hashes(struct log_case *c)
{
    struct bytes message = bytes_view(&c->message);

    assert_true(digest_compute(DIGEST_SHA256, message, &c->what.sha256, NULL));
    assert_true(digest_compute(DIGEST_SHA384, message, &c->what.sha384, NULL));
    assert_true(digest_compute(DIGEST_SHA512, message, &c->what.sha512, NULL));
    assert_true(
        digest_compute(DIGEST_SHA256, bytes_view(&c->payload), &c->what.payload_sha256, NULL));
    c->what.signature = bytes_view(&c->signature);
    if (c->leaf != NULL) {
        c->what.leaf = x509_cert_der(c->leaf);
        c->what.key = x509_cert_key(c->leaf);
    } else {
        c->what.key = c->key;
    }
    if (c->what.key != NULL) {
        c->what.scheme = key_default_scheme(c->what.key);
    }
}

/* PAE of the DSSE envelope ENVELOPE. */
static void log_case_envelope(struct log_case *c, const json_t *envelope)
{
    const json_t *signature = sjson_pointer(envelope, "/signatures/0");
    size_t type_len;
    int head;

    assert_true(sjson_get_base64(envelope, "payload", &c->payload, NULL));
    assert_true(sjson_get_base64(signature, "sig", &c->signature, NULL));
    assert_true(sjson_get_string(envelope, "payloadType", &c->what.payload_type, NULL));
    type_len = c->what.payload_type.len;
    c->message.data = malloc(c->payload.len + type_len + 64);
    assert_non_null(c->message.data);
    head = sprintf((char *)c->message.data, "DSSEv1 %zu %.*s %zu ", type_len, (int)type_len,
                   (const char *)c->what.payload_type.data, c->payload.len);
    memcpy(c->message.data + head, c->payload.data, c->payload.len);
    c->message.len = (size_t)head + c->payload.len;
    c->what.content = REKOR_DSSE;
}

static void log_case_material(struct log_case *c)
{
    const json_t *material = json_object_get(c->doc, "verificationMaterial");
    const json_t *cert = sjson_pointer(material, "/certificate");
    const json_t *stamp = sjson_pointer(material, "/timestampVerificationData/rfc3161Timestamps/0");
    struct bytes_buf der = {0};

    if (cert == NULL) {
        cert = sjson_pointer(material, "/x509CertificateChain/certificates/0");
    }
    if (cert != NULL) {
        assert_true(sjson_get_base64(cert, "rawBytes", &der, NULL));
        assert_true(x509_cert_parse(bytes_view(&der), &c->leaf, NULL));
        bytes_buf_done(&der);
    }
    if (stamp != NULL && !sjson_get_base64(stamp, "signedTimestamp", &c->token, NULL)) {
        c->token.data = calloc(1, 1); /* undecodable: an empty token, which does not verify */
    }
    assert_true(rekor_entries_read(json_object_get(material, "tlogEntries"), c->entries,
                                   &c->entry_count, NULL));
}

/* Read BUNDLE; ARTIFACT (taken) is what a message signature covers. */
GH_UNUSED static void log_case_bundle(struct log_case *c, struct bytes bundle,
                                      struct bytes_buf artifact)
{
    const json_t *envelope;
    const json_t *signature;

    assert_true(sjson_parse_object(bundle, SJSON_MAX_BYTES, &c->doc, NULL));
    envelope = json_object_get(c->doc, "dsseEnvelope");
    signature = json_object_get(c->doc, "messageSignature");
    log_case_material(c);
    if (envelope != NULL) {
        log_case_envelope(c, envelope);
        bytes_buf_done(&artifact);
    } else {
        assert_true(sjson_get_base64(signature, "signature", &c->signature, NULL));
        c->message = artifact;
        c->what.content = REKOR_MESSAGE;
    }
    c->options.threshold = 1;
    log_case_hashes(c);
}

/* Read a legacy layer: {"annotations": {...}, "payload": "..."}. */
GH_UNUSED static void log_case_legacy(struct log_case *c, struct bytes layer)
{
    const json_t *annotations;
    struct bytes text = {0};
    json_t *envelope = NULL;

    assert_true(sjson_parse_object(layer, SJSON_MAX_BYTES, &c->doc, NULL));
    annotations = json_object_get(c->doc, "annotations");
    assert_true(sjson_get_string(annotations, "dev.sigstore.cosign/certificate", &text, NULL));
    assert_true(x509_cert_parse_pem(text, &c->leaf, NULL));
    assert_true(sjson_get_string(annotations, "dev.sigstore.cosign/bundle", &text, NULL));
    assert_true(rekor_entry_read_annotation(text, &c->entries[0], NULL));
    c->entry_count = 1;
    assert_true(sjson_get_string(c->doc, "payload", &text, NULL));
    if (json_object_get(annotations, "predicateType") != NULL) {
        assert_true(sjson_parse_object(text, SJSON_MAX_BYTES, &envelope, NULL));
        log_case_envelope(c, envelope);
        c->what.payload_type = BYTES_LITERAL("application/vnd.in-toto+json");
        json_decref(envelope);
        c->what.envelope = text;
    } else {
        assert_true(bytes_dup(text, &c->message, NULL));
        assert_true(sjson_get_base64(annotations, "dev.cosignproject.cosign/signature",
                                     &c->signature, NULL));
        c->what.content = REKOR_MESSAGE;
    }
    c->options.threshold = 1;
    log_case_hashes(c);
}

GH_UNUSED static void log_case_done(struct log_case *c)
{
    for (size_t i = 0; i < c->entry_count; i++) {
        rekor_entry_done(&c->entries[i]);
    }
    bytes_buf_done(&c->signature);
    bytes_buf_done(&c->payload);
    bytes_buf_done(&c->message);
    bytes_buf_done(&c->token);
    x509_cert_unref(c->leaf);
    key_free(c->key);
    json_decref(c->doc);
    trustroot_free(c->root);
    memset(c, 0, sizeof(*c));
}

/* Read fixture BUNDLE with trusted root ROOT. */
GH_UNUSED static void log_case_open(struct log_case *c, const char *bundle, const char *root)
{
    struct bytes_buf file = log_case_fixture(bundle);

    memset(c, 0, sizeof(*c));
    c->root = log_case_root(root);
    if (strstr(bundle, "legacy") != NULL) {
        log_case_legacy(c, bytes_view(&file));
    } else {
        log_case_bundle(c, bytes_view(&file), (struct bytes_buf){0});
    }
    bytes_buf_done(&file);
}

#endif
