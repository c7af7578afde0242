#include "proxy/verify_bundle.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/bundle.h"
#include "crypto/key.h"
#include "crypto/pattern.h"
#include "crypto/trustroot.h"
#include "gatehouse.h"

#define VERIFY_BUNDLE_MAX_FILE (32u * 1024 * 1024)

/* The command line, and what is made of it. */
struct verify_bundle {
    const char *bundle_path;
    const char *identity;
    const char *issuer;
    const char *key_path;
    const char *root_path;
    const char *artifact; /* file or digest */
    struct bytes_buf bundle;
    struct bytes_buf content; /* of the artifact; empty where only its digest is given */
    struct signer signer;
    struct signer_key key;
    struct trustroot *root;
    struct evidence_subject subject;
};

static const char verify_bundle_usage[] =
    "usage: gatehouse verify-bundle [--staging] --bundle FILE\n"
    "           (--certificate-identity ID --certificate-oidc-issuer URL | --key PEM)\n"
    "           [--trusted-root FILE] FILE_OR_DIGEST\n"
    "\n"
    "Verifies a Sigstore bundle over a file, or over a digest `sha256:HEX`. Exit status 0 when it\n"
    "verifies. There is no built-in trust root: name one with --trusted-root.\n";

static void verify_bundle_done(struct verify_bundle *state)
{
    bytes_buf_done(&state->bundle);
    bytes_buf_done(&state->content);
    key_free(state->key.key);
    pattern_free(state->signer.issuer);
    pattern_free(state->signer.subject);
    trustroot_free(state->root);
}

static bool verify_bundle_read_fd(int fd, struct bytes_buf *out, struct gh_error *err)
{
    size_t used = 0;

    while (used < out->len) {
        ssize_t got = read(fd, out->data + used, out->len - used);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return gh_fail(err, GH_POLICY_DENIED, "reading stopped after %zu bytes", used);
        }
        used += (size_t)got;
    }
    return true;
}

static bool verify_bundle_read(const char *path, size_t limit, struct bytes_buf *out,
                               struct gh_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    bool ok;

    if (fd < 0) {
        return gh_fail(err, GH_POLICY_DENIED, "%s: %s", path, strerror(errno));
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        ok = gh_fail(err, GH_POLICY_DENIED, "%s is no file", path);
    } else if ((uint64_t)info.st_size > limit) {
        ok = gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "%s has more than %zu bytes", path, limit);
    } else {
        ok = bytes_buf_alloc((size_t)info.st_size, out, err) && verify_bundle_read_fd(fd, out, err);
    }
    (void)close(fd);
    return ok;
}

/* 0: go on; else the exit status. */
static int verify_bundle_parse(int argc, char **argv, struct verify_bundle *out)
{
    static const struct option options[] = {
        {"staging", no_argument, NULL, 's'},
        {"bundle", required_argument, NULL, 'b'},
        {"certificate-identity", required_argument, NULL, 'i'},
        {"certificate-oidc-issuer", required_argument, NULL, 'o'},
        {"key", required_argument, NULL, 'k'},
        {"trusted-root", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    optind = 0; /* start over: main() may have parsed options of its own */
    while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
        switch (option) {
        case 's':
            break; /* without a built-in root there is none of staging either */
        case 'b':
            out->bundle_path = optarg;
            break;
        case 'i':
            out->identity = optarg;
            break;
        case 'o':
            out->issuer = optarg;
            break;
        case 'k':
            out->key_path = optarg;
            break;
        case 'r':
            out->root_path = optarg;
            break;
        case 'h':
            (void)fputs(verify_bundle_usage, stdout);
            return -1;
        default:
            (void)fputs(verify_bundle_usage, stderr);
            return 2;
        }
    }
    if (optind != argc - 1 || out->bundle_path == NULL ||
        (out->key_path != NULL) == (out->identity != NULL && out->issuer != NULL) ||
        (out->identity != NULL) != (out->issuer != NULL)) {
        (void)fputs(verify_bundle_usage, stderr);
        return 2;
    }
    out->artifact = argv[optind];
    return 0;
}

static bool verify_bundle_load_signer(struct verify_bundle *state, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf pem = {0};
    struct signer *signer = &state->signer;

    signer->name = (char *)"verify-bundle";
    signer->tlog = SIGNER_REQUIRED;
    signer->timestamp = SIGNER_OPTIONAL;
    signer->match_reference = SIGNER_REFERENCE_OFF;
    if (state->key_path == NULL) {
        signer->type = SIGNER_KEYLESS;
        signer->sct = SIGNER_REQUIRED;
        return pattern_new(PATTERN_EXACT, bytes_of(state->issuer), &signer->issuer, err) &&
               pattern_new(PATTERN_EXACT, bytes_of(state->identity), &signer->subject, err);
    }
    signer->type = SIGNER_KEYS;
    signer->keys = &state->key;
    signer->key_count = 1;
    state->key.source = (char *)state->key_path;
    state->key.not_before_unix_s = INT64_MIN;
    state->key.not_after_unix_s = INT64_MAX;
    return verify_bundle_read(state->key_path, KEY_MAX_PEM_BYTES, &pem, err) &&
           key_parse_pem(bytes_view(&pem), &state->key.key, err);
}

static bool verify_bundle_load_root(struct verify_bundle *state, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf file = {0};

    if (state->root_path == NULL) {
        return gh_fail(err, GH_TRUST_ROOT_MISSING,
                       "a built-in public trust root is not supported yet: name a file with "
                       "--trusted-root");
    }
    GH_TRY(verify_bundle_read(state->root_path, TRUSTROOT_MAX_BYTES, &file, err));
    GH_TRY(trustroot_parse(bytes_view(&file), &state->root, err));
    state->signer.root = state->root;
    state->signer.is_root_named = true;
    state->signer.root_fingerprint = *trustroot_fingerprint(state->root);
    return true;
}

/* A digest only when it looks like one and no file has that name. */
static bool verify_bundle_load_artifact(struct verify_bundle *state, struct gh_error *err)
{
    struct gh_error ignored = {0};

    if (access(state->artifact, F_OK) != 0 && strncmp(state->artifact, "sha256:", 7) == 0 &&
        digest_parse(bytes_of(state->artifact), &state->subject.digest, &ignored)) {
        return true;
    }
    GH_TRY(verify_bundle_read(state->artifact, VERIFY_BUNDLE_MAX_ARTIFACT, &state->content, err));
    state->subject.manifest = bytes_view(&state->content);
    if (state->subject.manifest.data == NULL) {
        state->subject.manifest = BYTES_LITERAL(""); /* an empty file is content, too */
    }
    return digest_compute(DIGEST_SHA256, state->subject.manifest, &state->subject.digest, err);
}

static bool verify_bundle_run(struct verify_bundle *state, enum evidence_step *step,
                              struct gh_error *err)
{
    struct evidence_item item = {.kind = EVIDENCE_BUNDLE, .location = state->bundle_path};
    struct evidence_proof proof = {0};

    *step = EVIDENCE_STEP_FETCH;
    GH_TRY(verify_bundle_load_signer(state, err));
    GH_TRY(verify_bundle_load_root(state, err));
    GH_TRY(verify_bundle_load_artifact(state, err));
    GH_TRY(verify_bundle_read(state->bundle_path, VERIFY_BUNDLE_MAX_FILE, &state->bundle, err));
    item.blob = bytes_view(&state->bundle);
    GH_TRY(digest_compute(DIGEST_SHA256, item.blob, &item.digest, err));
    GH_TRY(bundle_verify(&item, &state->subject, &state->signer, NULL, (int64_t)time(NULL), step,
                         &proof, err));
    (void)printf("verified: signed by %s\n", proof.signer_text);
    evidence_proof_done(&proof);
    return true;
}

int verify_bundle_main(int argc, char **argv)
{
    GH_OWN(verify_bundle_done) struct verify_bundle state = {0};
    struct gh_error err = {0};
    enum evidence_step step;
    int status = verify_bundle_parse(argc, argv, &state);

    if (status != 0) {
        return status < 0 ? 0 : status;
    }
    if (verify_bundle_run(&state, &step, &err)) {
        return 0;
    }
    (void)fprintf(stderr, "not verified at step %s: %s%s%s: %s\n", evidence_step_label(step),
                  err.place, err.place[0] != '\0' ? ": " : "", gh_cause_label(err.cause), err.text);
    return 1;
}
