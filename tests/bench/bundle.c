/*
 * Verifications of v0.3 bundles per second on one core, with their allocations, beside the sum of
 * the signature checks they contain.
 *
 *   bench_bundle write FOLDER COUNT      bundles by as many leaves of a stack made here, for
 *                                        this program and its peers (bundle_peers.py)
 *   bench_bundle verify FOLDER SECONDS   those bundles: "distinct", each once with a trust root
 *                                        (then again with a new one), and "repeated", one of them
 *   bench_bundle fixtures FOLDER SECONDS three bundles of real tools (tests/fixtures): "fresh", a
 *                                        new trust root each time, and "warm", the same one
 *
 * Rows of `verify` are: name, per second, microseconds, allocations, times the primitives' sum.
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
#include "tests/support/sigstore_maker.h"

#define NOW 1795219200
#define FRESH_ROUNDS 200
#define MAX_BUNDLES 20000
/* In one bundle by the maker: leaf, SCT, promise, tree head, time stamp, signature. */
#define MADE_P256 6

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

struct bench_primitives {
    double p256;
    double p384;
    double ed25519;
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

/* The text of a file; the program ends with it. NULL: absent. */
static char *read_file(const char *folder, const char *name)
{
    char path[1024];
    FILE *file;
    char *out;
    long len;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    must(fseek(file, 0, SEEK_END) == 0, path);
    len = ftell(file);
    rewind(file);
    out = calloc((size_t)len + 1, 1);
    must(out != NULL && fread(out, 1, (size_t)len, file) == (size_t)len, path);
    (void)fclose(file);
    return out;
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[1024];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "wb");
    must(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0, path);
}

static struct trustroot *parse_root(const char *text)
{
    struct trustroot *root = NULL;

    must(text != NULL && trustroot_parse(bytes_of(text), &root, NULL), "the trust root");
    return root;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void set_signer(struct bench_input *out, const char *issuer, const char *subject)
{
    out->signer.name = (char *)"bench";
    out->signer.type = SIGNER_KEYLESS;
    out->signer.tlog = SIGNER_REQUIRED;
    out->signer.sct = SIGNER_REQUIRED;
    must(pattern_new(PATTERN_EXACT, bytes_of(issuer), &out->signer.issuer, NULL) &&
             pattern_new(PATTERN_EXACT, bytes_of(subject), &out->signer.subject, NULL),
         "the identity");
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
    set_signer(out, text_of(policy, "certificate_oidc_issuer"),
               text_of(policy, "certificate_identity"));
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

static void measure_primitives(struct bench_primitives *out)
{
    out->p256 = primitive("EC", "P-256", KEY_SCHEME_ECDSA, DIGEST_SHA256, "SHA256");
    out->p384 = primitive("EC", "P-384", KEY_SCHEME_ECDSA, DIGEST_SHA384, "SHA384");
    out->ed25519 = primitive("ED25519", NULL, KEY_SCHEME_ED25519, DIGEST_SHA512, NULL);
    (void)printf("primitives\tP-256 %.1f us\tP-384 %.1f us\tEd25519 %.1f us\n", out->p256 * 1e6,
                 out->p384 * 1e6, out->ed25519 * 1e6);
}

/* ---- bundles of a stack made here ---- */

static int bench_write(const char *folder, const char *count_text)
{
    const struct sigstore_make make = {.logs = 1, .scts = 1, .stamps = 1};
    unsigned long count = strtoul(count_text, NULL, 10);
    struct sigstore_maker *maker = sigstore_maker_new();
    char *root = sigstore_maker_root(maker);

    must(count > 0 && count <= MAX_BUNDLES, "a sensible number of bundles");
    write_file(folder, "trusted_root.json", root);
    write_file(folder, "artifact", SIGSTORE_MAKER_MANIFEST);
    for (unsigned long i = 0; i < count; i++) {
        char *text = sigstore_maker_bundle(maker, &make);
        char name[64];

        (void)snprintf(name, sizeof(name), "bundle-%05lu.json", i);
        write_file(folder, name, text);
        free(text);
    }
    free(root);
    sigstore_maker_free(maker);
    return 0;
}

static size_t load_made(const char *folder, struct bench_input *inputs)
{
    size_t count = 0;

    for (;; count++) {
        struct bench_input *input = &inputs[count];
        char name[64];
        char *text = NULL;

        (void)snprintf(name, sizeof(name), "bundle-%05zu.json", count);
        if (count < MAX_BUNDLES) {
            text = read_file(folder, name);
        }
        if (text == NULL) {
            return count;
        }
        input->item = (struct evidence_item){
            .kind = EVIDENCE_BUNDLE, .location = "made", .blob = bytes_of(text)};
        input->subject = (struct evidence_subject){.name = "registry.test/app",
                                                   .manifest = bytes_of(SIGSTORE_MAKER_MANIFEST)};
        must(digest_compute(DIGEST_SHA256, input->item.blob, &input->item.digest, NULL) &&
                 digest_compute(DIGEST_SHA256, input->subject.manifest, &input->subject.digest,
                                NULL),
             "hashing");
        set_signer(input, SIGSTORE_MAKER_ISSUER, SIGSTORE_MAKER_SUBJECT);
    }
}

static void print_row(const char *name, unsigned count, double spent, unsigned long allocated,
                      double sum)
{
    (void)printf("%s\t%.1f\t%.1f\t%lu\t%.2f\n", name, count / spent, spent / count * 1e6,
                 allocated / count, spent / count / sum);
}

static int bench_verify(const char *folder, double seconds)
{
    struct bench_input *inputs = calloc(MAX_BUNDLES + 1, sizeof(*inputs));
    char *root_text = read_file(folder, "trusted_root.json");
    size_t loaded = load_made(folder, inputs);
    struct bench_primitives primitives;
    struct trustroot *root;
    unsigned long allocated = 0;
    unsigned long before;
    unsigned count = 0;
    double spent = 0;
    double start;

    must(loaded > 0, "loading bundles");
    measure_primitives(&primitives);
    while (spent < seconds) {
        root = parse_root(root_text);
        before = allocations;
        start = now_s();
        for (size_t i = 0; i < loaded; i++) {
            verify(&inputs[i], root);
        }
        spent += now_s() - start;
        allocated += allocations - before;
        count += (unsigned)loaded;
        trustroot_free(root);
    }
    print_row("distinct", count, spent, allocated, MADE_P256 * primitives.p256);
    root = parse_root(root_text);
    verify(&inputs[0], root);
    count = 0;
    before = allocations;
    start = now_s();
    do {
        verify(&inputs[0], root);
        count++;
        spent = now_s() - start;
    } while (spent < seconds);
    print_row("repeated", count, spent, allocations - before, MADE_P256 * primitives.p256);
    trustroot_free(root);
    for (size_t i = 0; i < loaded; i++) {
        pattern_free(inputs[i].signer.issuer);
        pattern_free(inputs[i].signer.subject);
        free((void *)inputs[i].item.blob.data);
    }
    free(root_text);
    free(inputs);
    return 0;
}

/* ---- bundles of real tools ---- */

static void bench_fixture(const char *folder, const struct bench_case *row,
                          const struct bench_primitives *primitives, double seconds)
{
    double sum = row->p256 * primitives->p256 + row->p384 * primitives->p384 +
                 row->ed25519 * primitives->ed25519;
    char *root_text = read_file(folder, "logs/trusted_root.json");
    struct trustroot *root = parse_root(root_text);
    struct bench_input input;
    unsigned long before;
    unsigned count = 0;
    double fresh = 0;
    double start;
    double spent;

    load_case(folder, row->name, &input);
    for (unsigned k = 0; k < FRESH_ROUNDS; k++) {
        struct trustroot *unused = parse_root(root_text);

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
                 row->name, FRESH_ROUNDS / fresh, fresh / FRESH_ROUNDS * 1e6,
                 fresh / FRESH_ROUNDS / sum, sum * 1e6, count / spent, spent / count * 1e6,
                 (allocations - before) / count);
    pattern_free(input.signer.issuer);
    pattern_free(input.signer.subject);
    json_decref(input.file);
    trustroot_free(root);
    free(root_text);
}

static int bench_fixtures(const char *folder, double seconds)
{
    struct bench_primitives primitives;

    measure_primitives(&primitives);
    for (size_t i = 0; i < GH_COUNT(cases); i++) {
        bench_fixture(folder, &cases[i], &primitives, seconds);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "write") == 0) {
        return bench_write(argv[2], argv[3]);
    }
    if (argc == 4 && strcmp(argv[1], "verify") == 0) {
        return bench_verify(argv[2], strtod(argv[3], NULL));
    }
    if (argc == 4 && strcmp(argv[1], "fixtures") == 0) {
        return bench_fixtures(argv[2], strtod(argv[3], NULL));
    }
    (void)fprintf(stderr, "usage: bench_bundle write FOLDER COUNT | verify FOLDER SECONDS | "
                          "fixtures FOLDER SECONDS\n");
    return 2;
}
