#include "policy/require.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/sigstore_case.h"

#include "crypto/cosign.h"
#include "metrics/error.h"
#include "policy/predicate.h"

#define MAX_ITEMS 80
#define REVIEW "https://example.test/review/v1"

/* Evidence signed on the spot, in the order it is added. */
struct bench {
    struct case_signer made;
    struct evidence_subject subject;
    struct evidence_item items[MAX_ITEMS];
    struct evidence_annotation annotations[MAX_ITEMS];
    char *texts[2 * MAX_ITEMS];
    size_t text_count;
    struct evidence_set set;
    struct require require;
    struct require_input input;
    struct evidence_wants wants;
};

static void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    case_signer_keys("P-256", &bench->made);
    case_subject(&bench->subject);
    bench->set.items = bench->items;
    bench->require.kind = REQUIRE_SIGNATURE;
    bench->require.signer = &bench->made.signer;
    bench->input.require = &bench->require;
    bench->input.subject = &bench->subject;
    bench->input.evidence = &bench->set;
    bench->input.now_unix_s = SIGSTORE_CASE_NOW;
    bench->input.max_candidates = 50;
}

static void bench_done(struct bench *bench)
{
    for (size_t i = 0; i < bench->text_count; i++) {
        free(bench->texts[i]);
    }
    case_signer_done(&bench->made);
}

static char *keep(struct bench *bench, char *text)
{
    assert_non_null(text);
    bench->texts[bench->text_count++] = text;
    return text;
}

static struct evidence_item *add_item(struct bench *bench, enum evidence_kind kind, char *blob)
{
    struct evidence_item *item = &bench->items[bench->set.count++];

    item->kind = kind;
    item->location = "test";
    item->blob = bytes_of(blob);
    assert_true(digest_compute(DIGEST_SHA256, item->blob, &item->digest, NULL));
    return item;
}

static void add_bundle(struct bench *bench, const struct case_signer *signer, const char *type)
{
    char *statement = case_statement(&bench->subject, type);
    json_t *doc =
        case_key_bundle(signer->keys[0].key, "dsseEnvelope",
                        case_envelope(signer->evp, "SHA256", DSSE_IN_TOTO, bytes_of(statement)));

    (void)add_item(bench, EVIDENCE_BUNDLE, keep(bench, json_dumps(doc, JSON_COMPACT)));
    json_decref(doc);
    free(statement);
}

static void add_layer(struct bench *bench, EVP_PKEY *evp)
{
    char digest[DIGEST_MAX_TEXT];
    char *payload = NULL;
    struct evidence_item *item;

    digest_format(&bench->subject.digest, digest);
    assert_true(asprintf(&payload,
                         "{\"critical\":{\"identity\":{\"docker-reference\":\"a\"},\"image\":{"
                         "\"docker-manifest-digest\":\"%s\"},\"type\":\"cosign container image "
                         "signature\"},\"optional\":null}",
                         digest) > 0);
    item = add_item(bench, EVIDENCE_COSIGN_SIGNATURE, keep(bench, payload));
    item->annotations = &bench->annotations[bench->set.count];
    item->annotation_count = 1;
    bench->annotations[bench->set.count].name = COSIGN_ANNOTATION_SIGNATURE;
    bench->annotations[bench->set.count].value =
        keep(bench, case_sign(evp, "SHA256", bytes_of(payload)));
}

static void add_broken(struct bench *bench, enum gh_cause cause)
{
    struct evidence_item *item = &bench->items[bench->set.count++];

    item->kind = EVIDENCE_BROKEN;
    item->location = "test";
    (void)gh_fail(&item->failure, cause, "broken");
}

static struct verdict *verify(struct bench *bench)
{
    struct require_other other = {0};
    struct verdict *verdict = NULL;

    assert_int_equal(require_verify(&bench->input, &verdict, &bench->wants, &other), REQUIRE_DONE);
    assert_non_null(verdict);
    return verdict;
}

static void expect(struct bench *bench, enum verdict_outcome outcome, enum gh_cause cause)
{
    struct verdict *verdict = verify(bench);

    assert_string_equal(gh_cause_label(verdict->error.cause), gh_cause_label(cause));
    assert_int_equal(verdict->outcome, outcome);
    if (outcome == VERDICT_SATISFIED) {
        assert_true(verdict->authority_count > 0);
        assert_true(verdict->rest_count > 0);
    } else {
        assert_int_equal(verdict->authority_count, 0);
    }
    verdict_unref(verdict);
}

static void require_verify_without_evidence_denied(void **state)
{
    struct bench bench;

    bench_init(&bench);
    expect(&bench, VERDICT_DENIED, GH_NO_SIGNATURE_FOUND);
    add_bundle(&bench, &bench.made, REVIEW); /* an attestation is no signature */
    expect(&bench, VERDICT_DENIED, GH_NO_SIGNATURE_FOUND);
    (void)gh_fail(&bench.set.incomplete, GH_DISCOVERY_UNAVAILABLE, "the registry is down");
    expect(&bench, VERDICT_UNDECIDED, GH_DISCOVERY_UNAVAILABLE);
    bench_done(&bench);
}

static void require_verify_bad_evidence_cannot_hide_good(void **state)
{
    struct bench bench;
    struct case_signer other;

    bench_init(&bench);
    case_signer_keys("P-256", &other);
    add_broken(&bench, GH_DISCOVERY_UNAVAILABLE);
    add_layer(&bench, other.evp);
    add_bundle(&bench, &other, SIGSTORE_CASE_SIGN);
    (void)add_item(&bench, EVIDENCE_BUNDLE, keep(&bench, strdup("junk")));
    add_layer(&bench, bench.made.evp);
    (void)gh_fail(&bench.set.incomplete, GH_COUNT_LIMIT_EXCEEDED, "a page is missing");
    expect(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    case_signer_done(&other);
    bench_done(&bench);
}

static void require_verify_furthest_failure_is_shown(void **state)
{
    struct bench bench;
    struct case_signer other;

    bench_init(&bench);
    case_signer_keys("P-256", &other);
    (void)add_item(&bench, EVIDENCE_BUNDLE, keep(&bench, strdup("junk")));
    expect(&bench, VERDICT_DENIED, GH_BUNDLE_MALFORMED);
    add_layer(&bench, other.evp);
    expect(&bench, VERDICT_DENIED, GH_SIG_INVALID);
    add_bundle(&bench, &other, SIGSTORE_CASE_SIGN); /* says which key it was */
    expect(&bench, VERDICT_DENIED, GH_KEY_UNKNOWN);
    bench.subject.digest.value[0] ^= 1;
    add_layer(&bench, bench.made.evp);
    bench.subject.digest.value[0] ^= 1;
    expect(&bench, VERDICT_DENIED, GH_PAYLOAD_DIGEST_MISMATCH);
    add_broken(&bench, GH_UPSTREAM_UNAVAILABLE); /* it might be the good one */
    expect(&bench, VERDICT_UNDECIDED, GH_UPSTREAM_UNAVAILABLE);
    case_signer_done(&other);
    bench_done(&bench);
}

static void require_verify_cap_counts_cryptography_alone(void **state)
{
    struct bench bench;
    struct case_signer other;

    bench_init(&bench);
    case_signer_keys("P-256", &other);
    for (int i = 0; i < 30; i++) {
        (void)add_item(&bench, EVIDENCE_BUNDLE, keep(&bench, strdup("junk")));
    }
    for (int i = 0; i < 4; i++) {
        add_layer(&bench, other.evp);
    }
    bench.input.max_candidates = 4;
    expect(&bench, VERDICT_DENIED, GH_SIG_INVALID);
    add_layer(&bench, bench.made.evp); /* the fifth that reaches cryptography */
    expect(&bench, VERDICT_UNDECIDED, GH_COUNT_LIMIT_EXCEEDED);
    bench.input.max_candidates = 5;
    expect(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    bench.input.max_candidates = 4;
    add_bundle(&bench, &bench.made, SIGSTORE_CASE_SIGN); /* its hint puts it first */
    expect(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    case_signer_done(&other);
    bench_done(&bench);
}

/* Anybody can get a certificate; fifty of them must not push out the one that is asked for. */
static void require_verify_other_identities_do_not_use_up_the_cap(void **state)
{
    struct sigstore_case good;
    struct sigstore_case other;
    struct case_signer ci;
    struct bench bench;

    bench_init(&bench);
    case_load("github-bundle", &good);
    case_load("rekor2-bundle", &other);
    case_signer_keyless(&good, &ci);
    bench.subject = good.subject;
    bench.require.signer = &ci.signer;
    bench.input.max_candidates = 2;
    for (size_t i = 0; i < 4; i++) {
        bench.items[bench.set.count++] = other.item;
    }
    expect(&bench, VERDICT_UNDECIDED, GH_COUNT_LIMIT_EXCEEDED);
    bench.items[bench.set.count++] = good.item;
    expect(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    case_signer_done(&ci);
    case_done(&good);
    case_done(&other);
    bench_done(&bench);
}

static void require_verify_unresolved_key_undecided(void **state)
{
    struct bench bench;
    struct case_signer other;

    bench_init(&bench);
    case_signer_keys("P-256", &other);
    bench.made.signer.key_count = 2; /* the second could not be obtained */
    add_layer(&bench, other.evp);
    expect(&bench, VERDICT_UNDECIDED, GH_KEY_RESOLVE_FAILED);
    add_layer(&bench, bench.made.evp);
    expect(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    case_signer_done(&other);
    bench_done(&bench);
}

static void require_verify_all_authorities_counts_keys_once(void **state)
{
    struct bench bench;
    struct case_signer other;
    struct verdict *verdict;

    bench_init(&bench);
    case_signer_keys("P-256", &other);
    case_signer_add_key(&bench.made, other.evp);
    add_layer(&bench, bench.made.evp);
    add_bundle(&bench, &bench.made, SIGSTORE_CASE_SIGN);
    add_layer(&bench, other.evp);
    verdict = verify(&bench);
    assert_int_equal(verdict->authority_count, 1); /* the first good one is enough */
    verdict_unref(verdict);
    bench.input.is_all_authorities = true;
    verdict = verify(&bench);
    assert_int_equal(verdict->authority_count, 2);
    assert_int_equal(verdict->candidate_count, 3);
    verdict_unref(verdict);
    case_signer_done(&other);
    bench_done(&bench);
}

static struct predicate_where *where_risk(const char *value)
{
    struct predicate_test test = {.op = PREDICATE_EQUALS, .operand = bytes_of(value)};
    struct predicate_condition condition = {.path = "/risk", .tests = &test, .test_count = 1};
    struct predicate_where *where = NULL;
    struct gh_error err = {0};
    size_t at;

    assert_true(predicate_where_new(&condition, 1, &where, &at, &err));
    return where;
}

static void require_verify_attestation_conditions(void **state)
{
    char *types[] = {(char *)REVIEW};
    struct bench bench;
    struct case_signer other;

    bench_init(&bench);
    case_signer_keys("P-256", &other);
    bench.require.kind = REQUIRE_ATTESTATION;
    bench.require.predicate_name = types[0];
    bench.require.predicate_types = types;
    bench.require.predicate_type_count = 1;
    add_layer(&bench, bench.made.evp);
    add_bundle(&bench, &bench.made, "https://spdx.dev/Document");
    expect(&bench, VERDICT_DENIED, GH_ATTESTATION_MISSING);
    add_bundle(&bench, &other, REVIEW);
    expect(&bench, VERDICT_DENIED, GH_KEY_UNKNOWN);
    add_bundle(&bench, &bench.made, REVIEW);
    expect(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    bench.require.where = where_risk("\"low\"");
    expect(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    predicate_where_free(bench.require.where);
    bench.require.where = where_risk("\"high\"");
    expect(&bench, VERDICT_DENIED, GH_POLICY_DENIED);
    predicate_where_free(bench.require.where);
    bench.require.where = NULL;
    bench.require.max_age_s = 60; /* neither the statement nor a time stamp has a time */
    expect(&bench, VERDICT_DENIED, GH_ATTESTATION_STALE);
    bench.require.max_age_s = 0;
    bench.require.predicate_type_count = 0; /* no type is none, not any */
    expect(&bench, VERDICT_DENIED, GH_ATTESTATION_MISSING);
    case_signer_done(&other);
    bench_done(&bench);
}

/* Adds a statement whose risk is another one, signed by the same key. */
static void add_risky(struct bench *bench)
{
    char *statement = case_statement(&bench->subject, REVIEW);
    json_t *parsed = json_loads(statement, 0, NULL);
    json_t *doc;
    char *text;

    case_set(parsed, "/predicate/risk", json_string("high"));
    text = json_dumps(parsed, JSON_COMPACT);
    doc = case_key_bundle(bench->made.keys[0].key, "dsseEnvelope",
                          case_envelope(bench->made.evp, "SHA256", DSSE_IN_TOTO, bytes_of(text)));
    (void)add_item(bench, EVIDENCE_BUNDLE, keep(bench, json_dumps(doc, JSON_COMPACT)));
    json_decref(doc);
    json_decref(parsed);
    free(text);
    free(statement);
}

static void require_verify_every_statement_must_satisfy(void **state)
{
    char *types[] = {(char *)REVIEW};
    struct bench bench;
    struct case_signer other;

    bench_init(&bench);
    case_signer_keys("P-256", &other);
    bench.require.kind = REQUIRE_ATTESTATION;
    bench.require.predicate_types = types;
    bench.require.predicate_type_count = 1;
    bench.require.where = where_risk("\"low\"");
    add_bundle(&bench, &bench.made, REVIEW);
    add_bundle(&bench, &other, REVIEW); /* of no trusted signer: says nothing */
    bench.require.is_every = true;
    expect(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    (void)gh_fail(&bench.set.incomplete, GH_DISCOVERY_UNAVAILABLE, "a page is missing");
    expect(&bench, VERDICT_UNDECIDED, GH_DISCOVERY_UNAVAILABLE);
    gh_error_clear(&bench.set.incomplete);
    add_risky(&bench);
    expect(&bench, VERDICT_DENIED, GH_POLICY_DENIED);
    bench.require.is_every = false;
    expect(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    predicate_where_free(bench.require.where);
    case_signer_done(&other);
    bench_done(&bench);
}

#define BASE_DIGEST "sha256:" BASE_HEX
#define BASE_HEX "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CONFIG                                                                                     \
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","           \
    "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":"           \
    "\"" BASE_DIGEST "\",\"size\":2},\"layers\":[]"

static void require_verify_base_image_asks_for_the_base(void **state)
{
    static const char manifest[] =
        CONFIG ",\"annotations\":{\"org.opencontainers.image.base.name\":\"docker.io/library/"
               "debian:12\",\"org.opencontainers.image.base.digest\":\"" BASE_DIGEST "\"}}";
    struct bench bench;
    struct require_other other = {0};
    struct verdict *verdict = NULL;
    struct verdict *base = verdict_new();

    bench_init(&bench);
    bench.require.kind = REQUIRE_BASE_IMAGE;
    bench.require.base_from = REQUIRE_BASE_ANNOTATION;
    bench.subject.manifest = bytes_of(CONFIG "}");
    expect(&bench, VERDICT_DENIED, GH_BASE_IMAGE_UNVERIFIED);
    bench.subject.manifest = bytes_of(manifest);
    assert_int_equal(require_verify(&bench.input, &verdict, &bench.wants, &other),
                     REQUIRE_WANTS_OTHER);
    assert_null(verdict);
    assert_string_equal(other.name, "docker.io/library/debian");
    assert_int_equal(other.digest.value[0], 0xaa);
    other.verdict = base;
    bench.input.others = &other;
    bench.input.other_count = 1;
    (void)gh_fail(&base->error, GH_NO_SIGNATURE_FOUND, "nothing");
    expect(&bench, VERDICT_DENIED, GH_BASE_IMAGE_UNVERIFIED);
    base->outcome = VERDICT_UNDECIDED;
    expect(&bench, VERDICT_UNDECIDED, GH_NO_SIGNATURE_FOUND);
    gh_error_clear(&base->error);
    base->outcome = VERDICT_SATISFIED;
    base->until_unix_s = EVIDENCE_UNTIL_FOREVER;
    base->authority_count = 1;
    base->rest_count = 1;
    expect(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    free(other.name);
    verdict_unref(base);
    bench_done(&bench);
}

static void require_uses_only_what_the_signer_takes(void **state)
{
    struct signer keys = {.type = SIGNER_KEYS};
    struct signer notation = {.type = SIGNER_NOTATION};
    struct require signature = {.kind = REQUIRE_SIGNATURE, .signer = &keys};
    struct require attestation = {.kind = REQUIRE_ATTESTATION, .signer = &keys};
    struct require base = {.kind = REQUIRE_BASE_IMAGE, .signer = &keys};

    assert_true(require_uses(&signature, EVIDENCE_COSIGN_SIGNATURE));
    assert_true(require_uses(&signature, EVIDENCE_BUNDLE));
    assert_false(require_uses(&signature, EVIDENCE_COSIGN_ATTESTATION));
    assert_false(require_uses(&signature, EVIDENCE_NOTATION_JWS));
    signature.signer = &notation;
    assert_true(require_uses(&signature, EVIDENCE_NOTATION_COSE));
    assert_false(require_uses(&signature, EVIDENCE_BUNDLE));
    assert_true(require_uses(&attestation, EVIDENCE_DSSE));
    assert_false(require_uses(&attestation, EVIDENCE_COSIGN_SIGNATURE));
    assert_false(require_uses(&base, EVIDENCE_BUNDLE));
    base.base_from = REQUIRE_BASE_PROVENANCE;
    assert_true(require_uses(&base, EVIDENCE_BUNDLE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(require_verify_without_evidence_denied),
        cmocka_unit_test(require_verify_bad_evidence_cannot_hide_good),
        cmocka_unit_test(require_verify_furthest_failure_is_shown),
        cmocka_unit_test(require_verify_cap_counts_cryptography_alone),
        cmocka_unit_test(require_verify_other_identities_do_not_use_up_the_cap),
        cmocka_unit_test(require_verify_unresolved_key_undecided),
        cmocka_unit_test(require_verify_all_authorities_counts_keys_once),
        cmocka_unit_test(require_verify_attestation_conditions),
        cmocka_unit_test(require_verify_every_statement_must_satisfy),
        cmocka_unit_test(require_verify_base_image_asks_for_the_base),
        cmocka_unit_test(require_uses_only_what_the_signer_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
