/*
 * One signature under test: a root, a leaf, an image, and a signer that judges. Include after
 * cmocka.h.
 */
#ifndef TESTS_SUPPORT_NOTATION_JUDGE_H
#define TESTS_SUPPORT_NOTATION_JUDGE_H

#include <stdio.h>
#include <string.h>

#include "crypto/digest.h"
#include "crypto/evidence.h"
#include "crypto/notation.h"
#include "crypto/signer.h"
#include "gatehouse.h"
#include "metrics/error.h"
#include "tests/support/notation_maker.h"

#define MEDIA_TYPE "application/vnd.oci.image.manifest.v1+json"
#define CTY "\"cty\":\"application/vnd.cncf.notary.payload.v1+json\""
#define SCHEME "\"io.cncf.notary.signingScheme\":\"notary.x509\""
#define TIME "\"io.cncf.notary.signingTime\":\"2027-01-15T07:00:00Z\""
#define CRIT "\"crit\":[\"io.cncf.notary.signingScheme\"]"
#define HEADER "{\"alg\":\"ES256\"," CTY "," CRIT "," SCHEME "," TIME "}"
#define SA_TIME "\"io.cncf.notary.authenticSigningTime\":\"2027-01-15T07:00:00Z\""
#define SA_SCHEME "\"io.cncf.notary.signingScheme\":\"notary.x509.signingAuthority\""
#define SA_NAMES "\"io.cncf.notary.signingScheme\",\"io.cncf.notary.authenticSigningTime\""
#define SA_HEADER "{\"alg\":\"ES256\"," CTY ",\"crit\":[" SA_NAMES "]," SA_SCHEME "," SA_TIME "}"
#define AWS_ATTRIBUTES                                                                             \
    "\"io.cncf.notary.verificationPlugin\":\"com.amazonaws.signer.notation.plugin\","              \
    "\"com.amazonaws.signer.signingJob\":\"arn:aws:signer:us-west-2:1:/signing-jobs/j\","          \
    "\"com.amazonaws.signer.signingProfileVersion\":"                                              \
    "\"arn:aws:signer:us-west-2:1:/signing-profiles/Release/v1\""
#define AWS_NAMES                                                                                  \
    SA_NAMES ",\"com.amazonaws.signer.signingJob\",\"com.amazonaws.signer.signingProfileVersion\""
#define AWS_HEADER                                                                                 \
    "{\"alg\":\"ES256\"," CTY ",\"crit\":[" AWS_NAMES "]," SA_SCHEME "," SA_TIME                   \
    "," AWS_ATTRIBUTES "}"

static struct maker_cert root;
static struct maker_cert leaf;
GH_UNUSED static const struct maker_cert *const chain[] = {&leaf, &root};
static struct evidence_subject subject;
static char payload[512];

GH_UNUSED static void format_payload(char *out, size_t size, const char *media_type, size_t len,
                                     const char *annotations)
{
    char digest[DIGEST_MAX_TEXT];

    digest_format(&subject.digest, digest);
    snprintf(out, size,
             "{\"targetArtifact\":{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu%s%s}}",
             media_type, digest, len, annotations != NULL ? ",\"annotations\":" : "",
             annotations != NULL ? annotations : "");
}

GH_UNUSED static int judge_set_up(void **state)
{
    static const struct maker_profile root_profile = MAKER_ROOT;
    static const struct maker_profile leaf_profile = MAKER_LEAF;

    (void)state;
    maker_issue(NULL, &root_profile, &root);
    maker_issue(&root, &leaf_profile, &leaf);
    subject.manifest = BYTES_LITERAL("{\"schemaVersion\":2}");
    subject.media_type = MEDIA_TYPE;
    subject.name = "registry.test/app";
    assert_true(digest_compute(DIGEST_SHA256, subject.manifest, &subject.digest, NULL));
    format_payload(payload, sizeof(payload), MEDIA_TYPE, subject.manifest.len, NULL);
    return 0;
}

GH_UNUSED static int judge_tear_down(void **state)
{
    (void)state;
    maker_done(&leaf);
    maker_done(&root);
    return 0;
}

/* A signer that trusts the test root as a CA, or as a signing authority. */
struct judge {
    struct notation_store *store;
    struct signer signer;
    struct evidence_answers answers;
    const struct evidence_annotation *metadata;
    size_t metadata_count;
    int64_t now;
    struct evidence_wants wants;
    struct evidence_proof proof;
    enum evidence_step reached;
    struct gh_error err;
};

GH_UNUSED static void judge_init(struct judge *judge, enum notation_store_kind kind)
{
    memset(judge, 0, sizeof(*judge));
    assert_true(notation_store_new(&judge->store, NULL));
    assert_true(notation_store_add(judge->store, kind, bytes_view(&root.der), NULL));
    judge->signer.type = SIGNER_NOTATION;
    judge->signer.store = judge->store;
    judge->signer.is_any_identity = true;
    judge->now = MAKER_NOW;
}

GH_UNUSED static void judge_done(struct judge *judge)
{
    evidence_wants_done(&judge->wants);
    evidence_proof_done(&judge->proof);
    notation_store_free(judge->store);
}

GH_UNUSED static bool judge_blob(struct judge *judge, enum evidence_kind kind, struct bytes blob)
{
    struct evidence_item item = {.kind = kind, .blob = blob};
    struct notation_request request = {
        .item = &item,
        .subject = &subject,
        .signer = &judge->signer,
        .metadata = judge->metadata,
        .metadata_count = judge->metadata_count,
        .answers = &judge->answers,
        .now_unix_s = judge->now,
    };

    evidence_wants_done(&judge->wants);
    evidence_proof_done(&judge->proof);
    gh_error_clear(&judge->err);
    return notation_verify(&request, &judge->wants, &judge->reached, &judge->proof, &judge->err);
}

GH_UNUSED static bool judge_jws(struct judge *judge, const char *header, const char *text,
                                const struct maker_cert *const *certs, size_t count,
                                const char *extra)
{
    struct bytes_buf blob = maker_jws(header, text, certs, count, extra);
    bool is_good = judge_blob(judge, EVIDENCE_NOTATION_JWS, bytes_view(&blob));

    bytes_buf_done(&blob);
    return is_good;
}

#endif
