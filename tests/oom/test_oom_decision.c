/*
 * The pure core while memory runs out: configuration, verification and decision are made again and
 * again, and each time another allocation fails, be it ours or a library's. What comes out is what
 * comes out with memory, or a refusal that tells its cause; never an allow where there was none,
 * never a leak.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "crypto/sjson.h"
#include "policy/decide.h"
#include "policy/require.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/memory_loader.h"
#include "tests/support/notation_maker.h"
#include "tests/support/sigstore_case.h"
#include "tests/support/sigstore_maker.h"

#define MAX_FILES 4
#define WARM_UP_RUNS 3

struct world {
    struct memory_file files[MAX_FILES];
    size_t file_count;
    struct evidence_subject subject;
    struct evidence_item item;
    struct evidence_annotation annotation;
    int64_t now;
    char *owned[MAX_FILES + 2];
    size_t owned_count;
};

/* What came out, and in which step. */
struct answer {
    enum decide_outcome outcome;
    enum gh_cause cause;
    const char *step;
};

/* ---- one judgement ---- */

static bool world_load(const struct world *world, struct config **out, struct answer *answer)
{
    struct memory_loader loader = {.files = world->files, .count = world->file_count};
    const struct config_loader vtable = {
        .context = &loader, .read = memory_read, .env = memory_env, .tuf = memory_tuf};
    struct config_problems problems = {0};
    struct gh_error err = {0};
    bool is_loaded = config_load(&vtable, world->files[0].path, world->now, out, &problems, &err);

    config_problems_done(&problems);
    *answer = (struct answer){.outcome = DECIDE_DENY, .cause = err.cause, .step = "load"};
    return is_loaded;
}

static void world_verify(const struct world *world, const struct decide_plan *plan,
                         struct verdict **verdicts)
{
    const struct evidence_set set = {.items = &world->item, .count = 1};

    for (size_t i = 0; i < plan->leaf_count; i++) {
        const struct require_input input = {.require = plan->leaves[i].require,
                                            .subject = &world->subject,
                                            .evidence = &set,
                                            .now_unix_s = world->now,
                                            .max_candidates = 50};
        struct evidence_wants wants = {0};
        struct require_other other = {0};

        if (require_verify(&input, &verdicts[i], &wants, &other) != REQUIRE_DONE) {
            verdicts[i] = NULL; /* as where nothing could be fetched */
        }
        evidence_wants_done(&wants);
        free(other.name);
    }
}

static struct answer world_decide(const struct world *world, const struct decide_plan *plan)
{
    struct verdict *verdicts[DECIDE_INLINE_LEAVES] = {0};
    const struct decide_input input = {.verdicts = (const struct verdict *const *)verdicts,
                                       .is_explaining = true};
    struct decision decision = {0};
    struct gh_error err = {0};
    struct answer answer = {.step = "decide"};

    world_verify(world, plan, verdicts);
    if (decide(plan, &input, world->now, &decision, &err)) {
        answer.outcome = decision.outcome;
        answer.cause = decision.error.cause;
    } else {
        answer.outcome = DECIDE_UNDECIDED;
        answer.cause = err.cause;
    }
    decision_done(&decision);
    for (size_t i = 0; i < plan->leaf_count; i++) {
        verdict_unref(verdicts[i]);
    }
    return answer;
}

static struct answer world_judge(const struct world *world)
{
    const struct decide_image image = {
        .name = world->subject.name, .tag = world->subject.tag, .digest = world->subject.digest};
    struct config *config = NULL;
    struct decide_plan plan;
    struct gh_error err = {0};
    struct answer answer;

    if (!world_load(world, &config, &answer)) {
        return answer;
    }
    answer.step = "plan";
    if (decide_plan(&config->tenants[0].snapshot, &image, world->now, &plan, &err)) {
        assert_true(plan.leaf_count <= DECIDE_INLINE_LEAVES);
        answer = world_decide(world, &plan);
        decide_plan_done(&plan);
    } else {
        answer.cause = err.cause;
    }
    config_unref(config);
    return answer;
}

/* ---- starving it ---- */

static void assert_starved_once(const struct world *world, const struct answer *usual, size_t nth,
                                long usual_balance)
{
    struct fail_alloc_result memory;
    struct answer answer;

    fail_alloc_arm(nth);
    answer = world_judge(world);
    OPENSSL_thread_stop(); /* the error queue keeps texts for the next error */
    memory = fail_alloc_disarm();
    if (answer.outcome == DECIDE_ALLOW && usual->outcome != DECIDE_ALLOW) {
        fail_msg("allowed when allocation %zu fails", nth);
    }
    if (answer.outcome != DECIDE_ALLOW && answer.cause == GH_CAUSE_NONE) {
        fail_msg("refused without a cause (%s) when allocation %zu fails", answer.step, nth);
    }
    if (memory.balance != usual_balance) {
        fail_msg("%ld allocations are left (%s) when allocation %zu fails",
                 memory.balance - usual_balance, answer.step, nth);
    }
}

static void assert_starved(const struct world *world, enum decide_outcome outcome,
                           enum gh_cause cause)
{
    struct fail_alloc_result memory = {0};
    struct answer usual = {0};

    for (int i = 0; i < WARM_UP_RUNS; i++) { /* what libraries keep from their first use on */
        fail_alloc_arm(0);
        usual = world_judge(world);
        OPENSSL_thread_stop();
        memory = fail_alloc_disarm();
    }
    assert_int_equal(usual.outcome, outcome);
    assert_int_equal(usual.cause, cause);
    assert_int_equal(memory.balance, 0);
    print_message("%zu allocations\n", memory.allocations);
    for (size_t nth = 1; nth <= memory.allocations; nth++) {
        assert_starved_once(world, &usual, nth, memory.balance);
    }
}

/* ---- worlds ---- */

static const char *world_own(struct world *world, char *text)
{
    assert_non_null(text);
    assert_true(world->owned_count < GH_COUNT(world->owned));
    return world->owned[world->owned_count++] = text;
}

static void world_file(struct world *world, const char *path, const char *content)
{
    assert_true(world->file_count < MAX_FILES);
    world->files[world->file_count++] = (struct memory_file){.path = path, .content = content};
}

static void world_item(struct world *world, enum evidence_kind kind, const char *blob)
{
    world->item.kind = kind;
    world->item.location = "here";
    world->item.blob = bytes_of(blob);
    assert_true(digest_compute(DIGEST_SHA256, world->item.blob, &world->item.digest, NULL));
}

static void world_done(struct world *world)
{
    for (size_t i = 0; i < world->owned_count; i++) {
        free(world->owned[i]);
    }
}

static char *pem_text(EVP_PKEY *key, X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    char *out;
    long len;

    assert_int_equal(key != NULL ? PEM_write_bio_PUBKEY(bio, key) : PEM_write_bio_X509(bio, cert),
                     1);
    len = BIO_get_mem_data(bio, &data);
    out = strndup(data, (size_t)len);
    BIO_free(bio);
    return out;
}

/* A simple-signing signature by a fresh key; POLICIES follow the signer `release` with KEY_MORE. */
static void world_keyed(struct world *world, const char *key_more, const char *policies)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    char digest[DIGEST_MAX_TEXT];
    char *payload = NULL;
    char *config = NULL;

    memset(world, 0, sizeof(*world));
    world->now = SIGSTORE_CASE_NOW;
    case_subject(&world->subject);
    digest_format(&world->subject.digest, digest);
    assert_true(asprintf(&payload,
                         "{\"critical\":{\"identity\":{\"docker-reference\":\"%s\"},\"image\":"
                         "{\"docker-manifest-digest\":\"%s\"},\"type\":\"cosign container image "
                         "signature\"},\"optional\":{\"env\":\"test\"}}",
                         SIGSTORE_CASE_NAME, digest) > 0);
    assert_true(asprintf(&config,
                         "upstreams: {registry.example.test: {url: http://127.0.0.1:1}}\n"
                         "signers: {release: {keys: [{file: a.pub%s}]}}\n"
                         "policies:\n%s",
                         key_more, policies) > 0);
    world_file(world, "gatehouse.yaml", world_own(world, config));
    world_file(world, "a.pub", world_own(world, pem_text(key, NULL)));
    world_item(world, EVIDENCE_COSIGN_SIGNATURE, world_own(world, payload));
    world->annotation = (struct evidence_annotation){
        .name = "dev.cosignproject.cosign/signature",
        .value = world_own(world, case_sign(key, "SHA256", world->item.blob))};
    world->item.annotations = &world->annotation;
    world->item.annotation_count = 1;
    EVP_PKEY_free(key);
}

#define ALL "images: [\"registry.example.test/**\"]"
#define POLICY(more) "  - {name: p, " ALL ", " more "}\n"
#define SIGNED "require: [{signature: release}]"

static void decision_keyed_signature_allowed_or_refused_with_cause(void **state)
{
    struct world world;

    world_keyed(&world, "", POLICY(SIGNED));
    assert_starved(&world, DECIDE_ALLOW, GH_CAUSE_NONE);
    world_done(&world);
}

/* Rules that would allow if a part of them got lost on the way. */
static const struct {
    const char *key_more;
    const char *policies;
    enum gh_cause cause;
} strict_rows[] = {
    {", revoked: {at: 2026-01-01T00:00:00Z}", POLICY(SIGNED), GH_KEY_REVOKED},
    {", not_after: 2026-01-01", POLICY(SIGNED), GH_KEY_EXPIRED},
    {"", POLICY("require: [{signature: release, annotations: {env: prod}}]"),
     GH_ANNOTATION_MISMATCH},
    {"", POLICY("deny_tags: [v1], " SIGNED), GH_TAG_DENIED},
    {"", POLICY("require_digest: true, " SIGNED), GH_DIGEST_REQUIRED},
    {"", POLICY("require: [{signature: release}, {attestation: spdx, signer: release}]"),
     GH_ATTESTATION_MISSING},
    {"",
     POLICY(SIGNED) "  - {name: q, baseline: true, " ALL
                    ", require: [{attestation: spdx, signer: release}]}\n",
     GH_ATTESTATION_MISSING},
    {"", "  - {name: p, images: [\"registry.example.test/other/**\"], " SIGNED "}\n",
     GH_POLICY_NO_MATCH},
};

static void decision_strict_rules_never_allowed(void **state)
{
    for (size_t i = 0; i < GH_COUNT(strict_rows); i++) {
        struct world world;

        world_keyed(&world, strict_rows[i].key_more, strict_rows[i].policies);
        assert_starved(&world, DECIDE_DENY, strict_rows[i].cause);
        world_done(&world);
    }
}

static void decision_forged_signature_never_allowed(void **state)
{
    struct world world;
    char *signature;

    world_keyed(&world, "", POLICY(SIGNED));
    signature = world.owned[world.owned_count - 1];
    signature[20] = signature[20] == 'A' ? 'B' : 'A';
    assert_starved(&world, DECIDE_DENY, GH_SIG_INVALID);
    world_done(&world);
}

static void world_keyless(struct world *world, const char *subject)
{
    const struct sigstore_make make = {.logs = 1, .scts = 1, .stamps = 1};
    struct sigstore_maker *maker = sigstore_maker_new();
    char *config = NULL;

    memset(world, 0, sizeof(*world));
    world->now = SIGSTORE_MAKER_TIME + 86400;
    case_subject(&world->subject);
    assert_string_equal(SIGSTORE_CASE_MANIFEST, SIGSTORE_MAKER_MANIFEST);
    assert_true(asprintf(&config,
                         "upstreams: {registry.example.test: {url: http://127.0.0.1:1}}\n"
                         "roots: {own: {trusted_root: root.json}}\n"
                         "signers: {ci: {keyless: {root: own, issuer: \"%s\", subject: \"%s\"}}}\n"
                         "policies:\n"
                         "  - {name: p, " ALL ", require: [{signature: ci}]}\n",
                         SIGSTORE_MAKER_ISSUER, subject) > 0);
    world_file(world, "gatehouse.yaml", world_own(world, config));
    world_file(world, "root.json", world_own(world, sigstore_maker_root(maker)));
    world_item(world, EVIDENCE_BUNDLE, world_own(world, sigstore_maker_bundle(maker, &make)));
    sigstore_maker_free(maker);
}

static void decision_keyless_bundle_allowed_or_refused_with_cause(void **state)
{
    struct world world;

    world_keyless(&world, SIGSTORE_MAKER_SUBJECT);
    assert_starved(&world, DECIDE_ALLOW, GH_CAUSE_NONE);
    world_done(&world);
}

static void decision_keyless_other_identity_never_allowed(void **state)
{
    struct world world;

    world_keyless(&world, "https://ci.test/another");
    assert_starved(&world, DECIDE_DENY, GH_IDENTITY_MISMATCH);
    world_done(&world);
}

#define NOTATION_HEADER                                                                            \
    "{\"alg\":\"ES256\",\"cty\":\"application/vnd.cncf.notary.payload.v1+json\","                  \
    "\"crit\":[\"io.cncf.notary.signingScheme\"],"                                                 \
    "\"io.cncf.notary.signingScheme\":\"notary.x509\","                                            \
    "\"io.cncf.notary.signingTime\":\"2027-01-15T07:00:00Z\"}"

static void world_notation(struct world *world, const char *identity)
{
    static const struct maker_profile root_profile = MAKER_ROOT;
    static const struct maker_profile leaf_profile = MAKER_LEAF;
    struct maker_cert root;
    struct maker_cert leaf;
    const struct maker_cert *const chain[] = {&leaf, &root};
    char digest[DIGEST_MAX_TEXT];
    char payload[512];
    char *config = NULL;
    struct bytes_buf jws;

    memset(world, 0, sizeof(*world));
    world->now = MAKER_NOW;
    case_subject(&world->subject);
    digest_format(&world->subject.digest, digest);
    (void)snprintf(payload, sizeof(payload),
                   "{\"targetArtifact\":{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}}",
                   world->subject.media_type, digest, world->subject.manifest.len);
    assert_true(asprintf(&config,
                         "upstreams: {registry.example.test: {url: http://127.0.0.1:1}}\n"
                         "roots: {pki: {ca: [root.pem]}}\n"
                         "signers: {corp: {notation: {root: pki, identities: [\"%s\"],\n"
                         "    level: strict, override: {revocation: skip}}}}\n"
                         "policies:\n"
                         "  - {name: p, " ALL ", require: [{signature: corp}]}\n",
                         identity) > 0);
    maker_issue(NULL, &root_profile, &root);
    maker_issue(&root, &leaf_profile, &leaf);
    jws = maker_jws(NOTATION_HEADER, payload, chain, GH_COUNT(chain), NULL);
    world_file(world, "gatehouse.yaml", world_own(world, config));
    world_file(world, "root.pem", world_own(world, pem_text(NULL, root.cert)));
    world_item(world, EVIDENCE_NOTATION_JWS,
               world_own(world, strndup((const char *)jws.data, jws.len)));
    bytes_buf_done(&jws);
    maker_done(&leaf);
    maker_done(&root);
}

static void decision_notation_jws_allowed_or_refused_with_cause(void **state)
{
    struct world world;

    world_notation(&world, "x509.subject: C=US, ST=WA, O=Acme, CN=leaf");
    assert_starved(&world, DECIDE_ALLOW, GH_CAUSE_NONE);
    world_done(&world);
}

static void decision_notation_other_identity_never_allowed(void **state)
{
    struct world world;

    world_notation(&world, "x509.subject: C=US, ST=WA, O=Acme, CN=another");
    assert_starved(&world, DECIDE_DENY, GH_NOTATION_IDENTITY_MISMATCH);
    world_done(&world);
}

static void sjson_parse_without_memory_ends_the_process(void **state)
{
    static const char text[] = "{\"a string that outgrows the first buffer\":1}";
    json_t *doc = NULL;
    struct gh_error err = {0};
    pid_t child = fork();
    int status = 0;

    assert_true(child >= 0);
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

        (void)dup2(nowhere, STDERR_FILENO);
        sjson_end_without_memory();
        fail_alloc_arm(2);
        (void)!sjson_parse(bytes_of(text), sizeof(text), &doc, &err);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* jansson would read past its buffer: sjson_end_without_memory() tells why. */
static int set_up(void **state)
{
    json_set_alloc_funcs(fail_alloc_never, free);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decision_keyed_signature_allowed_or_refused_with_cause),
        cmocka_unit_test(decision_strict_rules_never_allowed),
        cmocka_unit_test(decision_forged_signature_never_allowed),
        cmocka_unit_test(decision_keyless_bundle_allowed_or_refused_with_cause),
        cmocka_unit_test(decision_keyless_other_identity_never_allowed),
        cmocka_unit_test(decision_notation_jws_allowed_or_refused_with_cause),
        cmocka_unit_test(decision_notation_other_identity_never_allowed),
        cmocka_unit_test(sjson_parse_without_memory_ends_the_process),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
