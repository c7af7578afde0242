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

static void assert_verdict(struct bench *bench, enum verdict_outcome outcome, enum gh_cause cause)
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
    assert_verdict(&bench, VERDICT_DENIED, GH_NO_SIGNATURE_FOUND);
    add_bundle(&bench, &bench.made, REVIEW); /* an attestation is no signature */
    assert_verdict(&bench, VERDICT_DENIED, GH_NO_SIGNATURE_FOUND);
    (void)gh_fail(&bench.set.incomplete, GH_DISCOVERY_UNAVAILABLE, "the registry is down");
    assert_verdict(&bench, VERDICT_UNDECIDED, GH_DISCOVERY_UNAVAILABLE);
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
    assert_verdict(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
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
    assert_verdict(&bench, VERDICT_DENIED, GH_BUNDLE_MALFORMED);
    add_layer(&bench, other.evp);
    assert_verdict(&bench, VERDICT_DENIED, GH_SIG_INVALID);
    add_bundle(&bench, &other, SIGSTORE_CASE_SIGN); /* says which key it was */
    assert_verdict(&bench, VERDICT_DENIED, GH_KEY_UNKNOWN);
    bench.subject.digest.value[0] ^= 1;
    add_layer(&bench, bench.made.evp);
    bench.subject.digest.value[0] ^= 1;
    assert_verdict(&bench, VERDICT_DENIED, GH_PAYLOAD_DIGEST_MISMATCH);
    add_broken(&bench, GH_UPSTREAM_UNAVAILABLE); /* it might be the good one */
    assert_verdict(&bench, VERDICT_UNDECIDED, GH_UPSTREAM_UNAVAILABLE);
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
    assert_verdict(&bench, VERDICT_DENIED, GH_SIG_INVALID);
    add_layer(&bench, bench.made.evp); /* the fifth that reaches cryptography */
    assert_verdict(&bench, VERDICT_UNDECIDED, GH_COUNT_LIMIT_EXCEEDED);
    bench.input.max_candidates = 5;
    assert_verdict(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    bench.input.max_candidates = 4;
    add_bundle(&bench, &bench.made, SIGSTORE_CASE_SIGN); /* its hint puts it first */
    assert_verdict(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
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
    assert_verdict(&bench, VERDICT_UNDECIDED, GH_COUNT_LIMIT_EXCEEDED);
    bench.items[bench.set.count++] = good.item;
    assert_verdict(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
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
    assert_verdict(&bench, VERDICT_UNDECIDED, GH_KEY_RESOLVE_FAILED);
    add_layer(&bench, bench.made.evp);
    assert_verdict(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
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
    assert_verdict(&bench, VERDICT_DENIED, GH_ATTESTATION_MISSING);
    add_bundle(&bench, &other, REVIEW);
    assert_verdict(&bench, VERDICT_DENIED, GH_KEY_UNKNOWN);
    add_bundle(&bench, &bench.made, REVIEW);
    assert_verdict(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    bench.require.where = where_risk("\"low\"");
    assert_verdict(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    predicate_where_free(bench.require.where);
    bench.require.where = where_risk("\"high\"");
    assert_verdict(&bench, VERDICT_DENIED, GH_POLICY_DENIED);
    predicate_where_free(bench.require.where);
    bench.require.where = NULL;
    bench.require.max_age_s = 60; /* neither the statement nor a time stamp has a time */
    assert_verdict(&bench, VERDICT_DENIED, GH_ATTESTATION_STALE);
    bench.require.max_age_s = 0;
    bench.require.predicate_type_count = 0; /* no type is none, not any */
    assert_verdict(&bench, VERDICT_DENIED, GH_ATTESTATION_MISSING);
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
    assert_verdict(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    (void)gh_fail(&bench.set.incomplete, GH_DISCOVERY_UNAVAILABLE, "a page is missing");
    assert_verdict(&bench, VERDICT_UNDECIDED, GH_DISCOVERY_UNAVAILABLE);
    gh_error_clear(&bench.set.incomplete);
    add_risky(&bench);
    assert_verdict(&bench, VERDICT_DENIED, GH_POLICY_DENIED);
    bench.require.is_every = false;
    assert_verdict(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
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
    assert_verdict(&bench, VERDICT_DENIED, GH_BASE_IMAGE_UNVERIFIED);
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
    assert_verdict(&bench, VERDICT_DENIED, GH_BASE_IMAGE_UNVERIFIED);
    base->outcome = VERDICT_UNDECIDED;
    assert_verdict(&bench, VERDICT_UNDECIDED, GH_NO_SIGNATURE_FOUND);
    gh_error_clear(&base->error);
    base->outcome = VERDICT_SATISFIED;
    base->until_unix_s = EVIDENCE_UNTIL_FOREVER;
    base->authority_count = 1;
    base->rest_count = 1;
    assert_verdict(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
    free(other.name);
    verdict_unref(base);
    bench_done(&bench);
}

#define V02 "https://slsa.dev/provenance/v0.2"
#define V1 "https://slsa.dev/provenance/v1"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define MATERIAL(uri, hex) "{\"uri\":\"" uri "\",\"digest\":{\"sha256\":\"" hex "\"}}"
#define DEBIAN MATERIAL("pkg:docker/debian@12?platform=linux%2Famd64", BASE_HEX)

/* Provenance signed by SIGNER that lists MATERIALS (JSON); NULL: no such member. */
static void add_provenance(struct bench *bench, const struct case_signer *signer, const char *type,
                           const char *materials)
{
    char hex[DIGEST_MAX_TEXT];
    char *statement = NULL;
    json_t *doc;
    bool is_v1 = strcmp(type, V1) == 0;

    bytes_hex_encode(digest_bytes(&bench->subject.digest), hex);
    assert_true(
        asprintf(
            &statement,
            "{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{\"name\":\"a\","
            "\"digest\":{\"sha256\":\"%s\"}}],\"predicateType\":\"%s\",\"predicate\":{%s%s%s%s}}",
            hex, type, is_v1 ? "\"buildDefinition\":{" : "",
            materials == NULL ? ""
            : is_v1           ? "\"resolvedDependencies\":"
                              : "\"materials\":",
            materials == NULL ? "" : materials, is_v1 ? "}" : "") > 0);
    doc = case_key_bundle(signer->keys[0].key, "dsseEnvelope",
                          case_envelope(signer->evp, "SHA256", DSSE_IN_TOTO, bytes_of(statement)));
    (void)add_item(bench, EVIDENCE_BUNDLE, keep(bench, json_dumps(doc, JSON_COMPACT)));
    json_decref(doc);
    free(statement);
}

/* A bench whose bases are vouched for by BASE and named by provenance of the bench's signer. */
static void bench_bases(struct bench *bench, const struct signer *base)
{
    bench_init(bench);
    bench->require.kind = REQUIRE_BASE_IMAGE;
    bench->require.base_from = REQUIRE_BASE_PROVENANCE;
    bench->require.signer = base;
    bench->require.provenance_signer = &bench->made.signer;
}

/* The name that is asked about first, or the cause of the denial. */
static const char *first_base(struct bench *bench, struct digest *digest)
{
    static char name[512];
    struct require_other other = {0};
    struct verdict *verdict = NULL;
    enum require_answer answer = require_verify(&bench->input, &verdict, &bench->wants, &other);

    if (answer == REQUIRE_WANTS_OTHER) {
        assert_null(verdict);
        (void)snprintf(name, sizeof(name), "%s", other.name);
        *digest = other.digest;
        free(other.name);
        return name;
    }
    assert_int_equal(answer, REQUIRE_DONE);
    assert_int_not_equal(verdict->outcome, VERDICT_SATISFIED);
    (void)snprintf(name, sizeof(name), "%s", gh_cause_label(verdict->error.cause));
    verdict_unref(verdict);
    return name;
}

static void require_verify_base_from_provenance_reads_images(void **state)
{
    static const char unverified[] = "base_image_unverified";
    static const struct {
        const char *material;
        const char *name; /* or the cause */
    } rows[] = {
        {DEBIAN, "docker.io/debian"},
        {MATERIAL("pkg:docker/acme/app@v1", BASE_HEX), "docker.io/acme/app"},
        {MATERIAL("pkg:docker/ghcr.io/acme/base@v1?platform=x", BASE_HEX), "ghcr.io/acme/base"},
        {MATERIAL("pkg:docker/registry%3A5000/base", BASE_HEX), "registry:5000/base"},
        {MATERIAL("pkg:docker/localhost/base", BASE_HEX), "localhost/base"},
        {MATERIAL("pkg:docker/acme/base@sha256%3A" BASE_HEX "?repository_url=gcr.io", BASE_HEX),
         "gcr.io/acme/base"},
        {MATERIAL("pkg:docker/base?repository_url=https://ghcr.io/acme/", BASE_HEX),
         "ghcr.io/acme/base"},
        {MATERIAL("PKG:Docker/debian@12", BASE_HEX), "docker.io/debian"},
        {MATERIAL("pkg:oci/base@sha256%3A" BASE_HEX "?repository_url=ghcr.io%2Facme%2Fbase&tag=v1",
                  BASE_HEX),
         "ghcr.io/acme/base"},
        {MATERIAL("oci://ghcr.io/acme/base:v1", BASE_HEX), "ghcr.io/acme/base"},
        {MATERIAL("docker-image://docker.io/library/debian:12@sha256:" BASE_HEX, BASE_HEX),
         "docker.io/library/debian"},
        {"{\"uri\":\"oci://ghcr.io/acme/base@sha256:" BASE_HEX "\"}", "ghcr.io/acme/base"},
        {"{\"uri\":\"pkg:docker/debian?digest=sha256:" BASE_HEX "\"}", "docker.io/debian"},
        /* what is missing or does not agree denies */
        {"{\"uri\":\"pkg:docker/debian@12\"}", unverified},
        {"{\"uri\":\"pkg:docker/debian@12\",\"digest\":{\"sha512\":\"00\"}}", unverified},
        {"{\"uri\":\"pkg:docker/debian@12\",\"digest\":{\"sha256\":\"aa\"}}", unverified},
        {MATERIAL("pkg:docker/debian@sha256%3A" HEX_B, BASE_HEX), unverified},
        {MATERIAL("pkg:docker/debian?digest=sha256:" HEX_B, BASE_HEX), unverified},
        {MATERIAL("pkg:oci/base@sha256%3A" BASE_HEX, BASE_HEX), unverified},
        {MATERIAL("pkg:docker/", BASE_HEX), unverified},
        {MATERIAL("pkg:docker/a%00b", BASE_HEX), unverified},
        {MATERIAL("pkg:docker/a%zz", BASE_HEX), unverified},
        {MATERIAL("pkg:docker/a%4", BASE_HEX), unverified},
        {MATERIAL("git+https://github.com/acme/app", BASE_HEX), unverified},
        {MATERIAL("pkg:npm/docker", BASE_HEX), unverified},
        {"7", unverified},
        {"{\"digest\":{\"sha256\":\"" BASE_HEX "\"}}", unverified},
        {"", unverified},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        for (size_t k = 0; k < 2; k++) {
            struct signer vendor = {.type = SIGNER_KEYS, .name = (char *)"vendor"};
            struct bench bench;
            struct digest digest = {0};
            char list[512];

            bench_bases(&bench, &vendor);
            (void)snprintf(list, sizeof(list), "[%s]", rows[i].material);
            add_provenance(&bench, &bench.made, k == 0 ? V02 : V1, list);
            assert_string_equal(first_base(&bench, &digest), rows[i].name);
            if (rows[i].name != unverified) {
                assert_int_equal(digest.value[0], 0xaa);
            }
            bench_done(&bench);
        }
    }
}

static void require_verify_base_from_provenance_without_materials_denied(void **state)
{
    static const char *const lists[] = {NULL, "null", "[]", "{}", "\"x\""};

    for (size_t i = 0; i < GH_COUNT(lists); i++) {
        struct signer vendor = {.type = SIGNER_KEYS, .name = (char *)"vendor"};
        struct bench bench;

        bench_bases(&bench, &vendor);
        assert_verdict(&bench, VERDICT_DENIED, GH_BASE_IMAGE_UNVERIFIED); /* no provenance at all */
        add_provenance(&bench, &bench.made, V1, lists[i]);
        assert_verdict(&bench, VERDICT_DENIED, GH_BASE_IMAGE_UNVERIFIED);
        bench.set.incomplete.cause = GH_UPSTREAM_UNAVAILABLE; /* more may be there */
        assert_verdict(&bench, i < 3 ? VERDICT_UNDECIDED : VERDICT_DENIED,
                       i < 3 ? GH_UPSTREAM_UNAVAILABLE : GH_BASE_IMAGE_UNVERIFIED);
        bench_done(&bench);
    }
}

/* Whatever is not signed by the signer for provenance names nothing: neither what others signed,
 * nor what was altered, nor what is about another image. */
static void require_verify_base_from_provenance_unverified_names_nothing(void **state)
{
    struct bench bench;
    struct case_signer other;
    struct signer vendor = {.type = SIGNER_KEYS, .name = (char *)"vendor"};
    struct digest digest = {0};

    case_signer_keys("P-256", &other);
    bench_bases(&bench, &vendor);
    add_provenance(&bench, &other, V1, "[" DEBIAN "]");
    assert_string_equal(first_base(&bench, &digest), "base_image_unverified");
    /* the base's own signer is not the provenance's */
    bench.require.signer = &other.signer;
    assert_string_equal(first_base(&bench, &digest), "base_image_unverified");
    bench.require.provenance_signer = &other.signer;
    assert_string_equal(first_base(&bench, &digest), "docker.io/debian");
    bench.subject.digest.value[0] ^= 1; /* signed, for another image */
    assert_string_equal(first_base(&bench, &digest), "base_image_unverified");
    bench.subject.digest.value[0] ^= 1;
    /* what another names beside it is not looked at */
    bench.require.provenance_signer = &bench.made.signer;
    add_provenance(&bench, &bench.made, V1,
                   "[" MATERIAL("pkg:docker/ghcr.io/acme/base", HEX_B) "]");
    assert_string_equal(first_base(&bench, &digest), "ghcr.io/acme/base");
    assert_int_equal(digest.value[0], 0xbb);
    /* another predicate type names nothing either */
    bench.set.count = 0;
    add_provenance(&bench, &bench.made, "https://slsa.dev/provenance/v3", "[" DEBIAN "]");
    assert_string_equal(first_base(&bench, &digest), "base_image_unverified");
    case_signer_done(&other);
    bench_done(&bench);
}

/* Bases that are known to be good, until one is missing. */
static void require_verify_base_from_provenance_every_base_must_hold(void **state)
{
    struct bench bench;
    struct signer vendor = {.type = SIGNER_KEYS, .name = (char *)"vendor"};
    struct require_other others[2] = {{.name = (char *)"docker.io/debian"},
                                      {.name = (char *)"ghcr.io/acme/tools"}};
    struct verdict *good = verdict_new();
    struct verdict *bad = verdict_new();
    struct verdict *verdict;
    struct digest digest = {0};

    assert_true(digest_parse(BYTES_LITERAL(BASE_DIGEST), &others[0].digest, NULL));
    assert_true(digest_parse(BYTES_LITERAL("sha256:" HEX_B), &others[1].digest, NULL));
    good->outcome = VERDICT_SATISFIED;
    good->until_unix_s = SIGSTORE_CASE_NOW + 50;
    good->authority_count = 1;
    good->rest_count = 1;
    (void)gh_fail(&bad->error, GH_NO_SIGNATURE_FOUND, "nothing");
    others[0].verdict = good;
    others[1].verdict = bad;
    bench_bases(&bench, &vendor);
    bench.input.others = others;
    add_provenance(&bench, &bench.made, V02,
                   "[" DEBIAN "," DEBIAN "," MATERIAL("oci://ghcr.io/acme/tools:1", HEX_B) "]");
    bench.input.other_count = 1;
    assert_string_equal(first_base(&bench, &digest), "ghcr.io/acme/tools");
    bench.input.other_count = 2;
    assert_verdict(&bench, VERDICT_DENIED, GH_BASE_IMAGE_UNVERIFIED);
    bad->outcome = VERDICT_UNDECIDED;
    assert_verdict(&bench, VERDICT_UNDECIDED, GH_NO_SIGNATURE_FOUND);
    others[1].verdict = good;
    verdict = verify(&bench);
    assert_int_equal(verdict->outcome, VERDICT_SATISFIED);
    assert_int_equal(verdict->until_unix_s, SIGSTORE_CASE_NOW + 50);
    assert_int_equal(verdict->authority_count, 2); /* of the bases; not the provenance's */
    /* it rests on the provenance and its key, too: a revocation ends it */
    assert_true(verdict->rest_count >= 2 + 2);
    assert_int_equal(verdict->candidate_count, 1);
    assert_int_equal(verdict->candidates[0].step, EVIDENCE_STEP_DONE);
    verdict_unref(verdict);
    /* the same digest under another name is another question */
    others[0].name = (char *)"docker.io/other";
    assert_string_equal(first_base(&bench, &digest), "docker.io/debian");
    verdict_unref(good);
    verdict_unref(bad);
    bench_done(&bench);
}

/* The order in which a registry lists provenance decides nothing. */
static void require_verify_base_from_provenance_all_statements_count(void **state)
{
    struct signer vendor = {.type = SIGNER_KEYS, .name = (char *)"vendor"};
    struct verdict *good = verdict_new();
    struct require_other other = {.name = (char *)"docker.io/debian"};
    struct digest digest = {0};

    good->outcome = VERDICT_SATISFIED;
    good->until_unix_s = EVIDENCE_UNTIL_FOREVER;
    good->authority_count = 1;
    good->rest_count = 1;
    assert_true(digest_parse(BYTES_LITERAL(BASE_DIGEST), &other.digest, NULL));
    other.verdict = good;
    for (size_t order = 0; order < 2; order++) {
        struct bench bench;

        for (size_t i = 0; i < 2; i++) { /* a second base; one that cannot be followed */
            bench_bases(&bench, &vendor);
            bench.input.others = &other;
            bench.input.other_count = 1;
            for (size_t k = 0; k < 2; k++) {
                add_provenance(&bench, &bench.made, V1,
                               k == order ? "[" DEBIAN "]"
                               : i == 0   ? "[" MATERIAL("oci://ghcr.io/acme/b", HEX_B) "]"
                                          : "[{\"uri\":\"pkg:docker/x\"}]");
            }
            assert_string_equal(first_base(&bench, &digest),
                                i == 0 ? "ghcr.io/acme/b" : "base_image_unverified");
            bench_done(&bench);
        }
        /* provenance without images, and what cannot be fetched, hide nothing */
        bench_bases(&bench, &vendor);
        bench.input.others = &other;
        bench.input.other_count = 1;
        add_broken(&bench, GH_UPSTREAM_UNAVAILABLE);
        for (size_t k = 0; k < 2; k++) {
            add_provenance(&bench, &bench.made, V1, k == order ? "[" DEBIAN "]" : "[]");
        }
        assert_verdict(&bench, VERDICT_SATISFIED, GH_CAUSE_NONE);
        bench_done(&bench);
    }
    verdict_unref(good);
}

static void require_verify_base_from_provenance_limits_hold(void **state)
{
    struct bench bench;
    struct case_signer other;
    struct signer vendor = {.type = SIGNER_KEYS, .name = (char *)"vendor"};
    struct digest digest = {0};
    char list[4096];

    for (size_t n = 8; n <= 9; n++) {
        size_t used = 0;

        for (size_t i = 0; i < n; i++) {
            used +=
                (size_t)snprintf(list + used, sizeof(list) - used,
                                 "%s" MATERIAL("oci://r.x/%zu", BASE_HEX), i == 0 ? "[" : ",", i);
        }
        (void)snprintf(list + used, sizeof(list) - used, "]");
        bench_bases(&bench, &vendor);
        add_provenance(&bench, &bench.made, V1, list);
        assert_string_equal(first_base(&bench, &digest),
                            n == 8 ? "r.x/0" : "base_image_unverified");
        bench_done(&bench);
    }
    /* Junk past the cap: undecided, never "there is none". */
    case_signer_keys("P-256", &other);
    bench_bases(&bench, &vendor);
    bench.input.max_candidates = 3;
    for (size_t i = 0; i < 4; i++) {
        struct case_signer forged = other;

        forged.keys[0] = bench.made.keys[0]; /* the hint fits, the signature does not */
        add_provenance(&bench, &forged, V1, "[" DEBIAN "]");
    }
    assert_verdict(&bench, VERDICT_UNDECIDED, GH_COUNT_LIMIT_EXCEEDED);
    case_signer_done(&other);
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
        cmocka_unit_test(require_verify_base_from_provenance_reads_images),
        cmocka_unit_test(require_verify_base_from_provenance_without_materials_denied),
        cmocka_unit_test(require_verify_base_from_provenance_unverified_names_nothing),
        cmocka_unit_test(require_verify_base_from_provenance_every_base_must_hold),
        cmocka_unit_test(require_verify_base_from_provenance_all_statements_count),
        cmocka_unit_test(require_verify_base_from_provenance_limits_hold),
        cmocka_unit_test(require_uses_only_what_the_signer_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
