/*
 * Notation verifications a second on one core: JWS and COSE, P-256, a chain of two certificates, no
 * time stamp, no revocation addresses. What is measured is notation_verify() as the gateway calls
 * it, subject comparison and trust store included, with the chain remembered by the store as in
 * service; `cold` forgets it, by a new store for every verification.
 *
 * Time is the process's CPU time, so that other load on the machine counts less.
 *
 * Usage: bench_notation [SECONDS [DIRECTORY]]; with DIRECTORY the envelopes and the root are
 * written there for the peer (tests/bench/peers/notation).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/notation.h"
#include "metrics/error.h"
#include "tests/support/notation_maker.h"

#define MEDIA_TYPE "application/vnd.oci.image.manifest.v1+json"
#define HEADER                                                                                     \
    "{\"alg\":\"ES256\",\"cty\":\"application/vnd.cncf.notary.payload.v1+json\","                  \
    "\"crit\":[\"io.cncf.notary.signingScheme\"],"                                                 \
    "\"io.cncf.notary.signingScheme\":\"notary.x509\","                                            \
    "\"io.cncf.notary.signingTime\":\"2027-01-15T07:00:00Z\"}"
#define COSE_HEADER                                                                                \
    "\xa5\x01\x26\x02\x81\x78\x1cio.cncf.notary.signingScheme\x03\x78\x2b"                         \
    "application/vnd.cncf.notary.payload.v1+json\x78\x1cio.cncf.notary.signingScheme"              \
    "\x6bnotary.x509\x78\x1aio.cncf.notary.signingTime\xc1\x1a\x6b\x49\xc4\x70"

static double now_s(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void write_file(const char *directory, const char *name, struct bytes content)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(content.data, 1, content.len, file) != content.len) {
        fprintf(stderr, "cannot write %s\n", path);
        exit(1);
    }
    fclose(file);
}

static struct notation_store *make_store(const struct maker_cert *root)
{
    struct notation_store *store = NULL;

    if (!notation_store_new(&store, NULL) ||
        !notation_store_add(store, NOTATION_STORE_CA, bytes_view(&root->der), NULL)) {
        exit(1);
    }
    return store;
}

static void run(const char *what, enum evidence_kind kind, struct bytes blob,
                const struct evidence_subject *subject, const struct maker_cert *root, bool is_cold,
                double seconds)
{
    struct notation_store *store = make_store(root);
    struct evidence_item item = {.kind = kind, .blob = blob};
    double start = now_s();
    double end = start;
    size_t count = 0;

    while (end - start < seconds) {
        struct signer signer = {.type = SIGNER_NOTATION, .store = store, .is_any_identity = true};
        struct notation_request request = {
            .item = &item, .subject = subject, .signer = &signer, .now_unix_s = MAKER_NOW};
        struct evidence_wants wants = {0};
        struct evidence_proof proof = {0};
        enum evidence_step reached;
        struct gh_error err = {0};

        if (!notation_verify(&request, &wants, &reached, &proof, &err)) {
            fprintf(stderr, "%s: %s (%s)\n", what, gh_cause_label(err.cause), err.text);
            exit(1);
        }
        evidence_proof_done(&proof);
        if (is_cold) {
            notation_store_free(store);
            store = make_store(root);
        }
        if (++count % 64 == 0) {
            end = now_s();
        }
    }
    notation_store_free(store);
    printf("gatehouse %s %.0f verifications/s/core\n", what, (double)count / (end - start));
}

int main(int argc, char **argv)
{
    static const struct maker_profile root_profile = MAKER_ROOT;
    static const struct maker_profile leaf_profile = MAKER_LEAF;
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    struct evidence_subject subject = {.manifest = BYTES_LITERAL("{\"schemaVersion\":2}"),
                                       .media_type = MEDIA_TYPE,
                                       .name = "registry.test/app"};
    struct maker_cert root;
    struct maker_cert leaf;
    const struct maker_cert *const chain[] = {&leaf, &root};
    char digest[DIGEST_MAX_TEXT];
    char payload[512];
    struct bytes_buf jws;
    struct bytes_buf cose;

    if (!digest_compute(DIGEST_SHA256, subject.manifest, &subject.digest, NULL)) {
        return 1;
    }
    digest_format(&subject.digest, digest);
    snprintf(payload, sizeof(payload),
             "{\"targetArtifact\":{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}}",
             MEDIA_TYPE, digest, subject.manifest.len);
    maker_issue(NULL, &root_profile, &root);
    maker_issue(&root, &leaf_profile, &leaf);
    jws = maker_jws(HEADER, payload, chain, 2, NULL);
    cose = maker_cose(BYTES_LITERAL(COSE_HEADER), payload, chain, 2);
    if (argc > 2) {
        write_file(argv[2], "envelope.jws", bytes_view(&jws));
        write_file(argv[2], "envelope.cose", bytes_view(&cose));
        write_file(argv[2], "root.der", bytes_view(&root.der));
    }
    run("jws", EVIDENCE_NOTATION_JWS, bytes_view(&jws), &subject, &root, false, seconds);
    run("cose", EVIDENCE_NOTATION_COSE, bytes_view(&cose), &subject, &root, false, seconds);
    run("jws cold", EVIDENCE_NOTATION_JWS, bytes_view(&jws), &subject, &root, true, seconds);
    run("cose cold", EVIDENCE_NOTATION_COSE, bytes_view(&cose), &subject, &root, true, seconds);
    bytes_buf_done(&jws);
    bytes_buf_done(&cose);
    maker_done(&leaf);
    maker_done(&root);
    return 0;
}
