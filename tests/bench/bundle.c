/*
 * Verifications of v0.3 bundles per second on one core, with their allocations, beside the sum of
 * the signature checks they contain. Usage: bench_bundle [FOLDER of tests/fixtures] [SECONDS].
 *
 * "fresh": a new trust root for each round, so nothing is remembered. "warm": the root of a policy
 * snapshot, as in the gateway: tree heads proved before are remembered, leaves never are.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "crypto/bundle.h"
#include "crypto/key.h"
#include "crypto/pattern.h"
#include "crypto/trustroot.h"
#include "gatehouse.h"

#define NOW 1795219200
#define FRESH_ROUNDS 200

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static unsigned long allocations; /* of the whole process, libraries included */

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    allocations++;
    return __libc_realloc(old, size);
}

/* Public-key checks in one verification where nothing is remembered. */
struct bench_case {
    const char *name;
    unsigned p256;
    unsigned p384;
    unsigned ed25519;
};

static const struct bench_case cases[] = {
    /* SCT, promise, tree head, time stamp, signature; leaf by its authority. */
    {"github-bundle", 5, 1, 0},
    {"attest-slsa1-bundle", 5, 1, 0},
    /* SCT, time stamp, signature; tree head by Ed25519. */
    {"rekor2-bundle", 3, 1, 1},
};

struct bench_input {
    json_t *file;
    struct evidence_item item;
    struct evidence_subject subject;
    struct signer signer;
};

static double now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "bench_bundle: %s failed\n", what);
        exit(1);
    }
}

static struct trustroot *load_root(const char *folder)
{
    struct trustroot *root = NULL;
    char path[1024];
    char *text;
    json_t *doc;

    (void)snprintf(path, sizeof(path), "%s/logs/trusted_root.json", folder);
    doc = json_load_file(path, 0, NULL);
    must(doc != NULL, path);
    text = json_dumps(doc, 0);
    must(trustroot_parse(bytes_of(text), &root, NULL), "the trust root");
    free(text);
    json_decref(doc);
    return root;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void load_case(const char *folder, const char *name, struct bench_input *out)
{
    const json_t *policy;
    char path[1024];

    memset(out, 0, sizeof(*out));
    (void)snprintf(path, sizeof(path), "%s/sigstore/%s.json", folder, name);
    out->file = json_load_file(path, 0, NULL);
    must(out->file != NULL, path);
    policy = json_object_get(out->file, "policy");
    out->item.kind = EVIDENCE_BUNDLE;
    out->item.location = name;
    out->item.blob = bytes_of(text_of(out->file, "blob"));
    out->subject.name = text_of(out->file, "name");
    out->subject.manifest = bytes_of(text_of(out->file, "manifest"));
    must(digest_parse(bytes_of(text_of(out->file, "digest")), &out->subject.digest, NULL),
         "the digest");
    must(digest_compute(DIGEST_SHA256, out->item.blob, &out->item.digest, NULL), "hashing");
    out->signer.name = (char *)"bench";
    out->signer.type = SIGNER_KEYLESS;
    out->signer.tlog = SIGNER_REQUIRED;
    out->signer.sct = SIGNER_REQUIRED;
    must(pattern_new(PATTERN_EXACT, bytes_of(text_of(policy, "certificate_oidc_issuer")),
                     &out->signer.issuer, NULL) &&
             pattern_new(PATTERN_EXACT, bytes_of(text_of(policy, "certificate_identity")),
                         &out->signer.subject, NULL),
         "the identity");
}

static void verify(struct bench_input *input, const struct trustroot *root)
{
    struct evidence_proof proof = {0};
    struct gh_error err = {0};
    enum evidence_step step;

    input->signer.root = root;
    input->signer.root_fingerprint = *trustroot_fingerprint(root);
    if (!bundle_verify(&input->item, &input->subject, &input->signer, NULL, NOW, &step, &proof,
                       &err)) {
        must(false, err.text);
    }
    evidence_proof_done(&proof);
}

/* Seconds that one check of a signature by a fresh key of the curve takes. */
static double primitive(const char *type, const char *curve, enum key_scheme scheme,
                        enum digest_alg alg, const char *md)
{
    static const char message[] = "message";
    EVP_PKEY *evp = curve != NULL ? EVP_PKEY_Q_keygen(NULL, NULL, type, curve)
                                  : EVP_PKEY_Q_keygen(NULL, NULL, type);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    struct key *key = NULL;
    uint8_t signature[256];
    size_t len = sizeof(signature);
    unsigned count = 0;
    double start;
    double spent;

    must(evp != NULL && context != NULL && key_from_evp(evp, &key, NULL) &&
             EVP_DigestSignInit_ex(context, NULL, md, NULL, NULL, evp, NULL) == 1 &&
             EVP_DigestSign(context, signature, &len, (const uint8_t *)message, 7) == 1,
         "signing");
    start = now_s();
    do {
        must(key_verify(key, scheme, alg, bytes_make(message, 7), bytes_make(signature, len), NULL),
             "the primitive");
        count++;
        spent = now_s() - start;
    } while (spent < 0.5);
    key_free(key);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(evp);
    return spent / count;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "tests/fixtures";
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 2;
    double p256 = primitive("EC", "P-256", KEY_SCHEME_ECDSA, DIGEST_SHA256, "SHA256");
    double p384 = primitive("EC", "P-384", KEY_SCHEME_ECDSA, DIGEST_SHA384, "SHA384");
    double ed25519 = primitive("ED25519", NULL, KEY_SCHEME_ED25519, DIGEST_SHA512, NULL);
    struct trustroot *root = load_root(folder);

    (void)printf("primitives: P-256 %.1f us, P-384 %.1f us, Ed25519 %.1f us\n", p256 * 1e6,
                 p384 * 1e6, ed25519 * 1e6);
    for (size_t i = 0; i < GH_COUNT(cases); i++) {
        double sum = cases[i].p256 * p256 + cases[i].p384 * p384 + cases[i].ed25519 * ed25519;
        struct bench_input input;
        unsigned long before;
        unsigned count = 0;
        double fresh = 0;
        double start;
        double spent;

        load_case(folder, cases[i].name, &input);
        for (unsigned k = 0; k < FRESH_ROUNDS; k++) {
            struct trustroot *unused = load_root(folder);

            start = now_s();
            verify(&input, unused);
            fresh += now_s() - start;
            trustroot_free(unused);
        }
        verify(&input, root);
        before = allocations;
        start = now_s();
        do {
            verify(&input, root);
            count++;
            spent = now_s() - start;
        } while (spent < seconds);
        (void)printf("%-20s fresh %.0f/s, %.1f us, %.2f x the primitives' %.1f us; warm %.0f/s, "
                     "%.1f us; %lu allocations\n",
                     cases[i].name, FRESH_ROUNDS / fresh, fresh / FRESH_ROUNDS * 1e6,
                     fresh / FRESH_ROUNDS / sum, sum * 1e6, count / spent, spent / count * 1e6,
                     (allocations - before) / count);
        pattern_free(input.signer.issuer);
        pattern_free(input.signer.subject);
        json_decref(input.file);
    }
    trustroot_free(root);
    return 0;
}
