/*
 * Real signatures with the verdicts expected of them: tests/fixtures/notation/cases.tsv.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "crypto/notation.h"
#include "crypto/ocsp.h"
#include "metrics/error.h"

#define MAX_FIELDS 16
#define MAX_LIST 16

enum field {
    FIELD_ID,
    FIELD_CLOCK,
    FIELD_MANIFEST,
    FIELD_MEDIA_TYPE,
    FIELD_ACTIONS,
    FIELD_AFTER_EXPIRY,
    FIELD_IDENTITIES,
    FIELD_CA,
    FIELD_SIGNING_AUTHORITY,
    FIELD_TSA,
    FIELD_METADATA,
    FIELD_SIGNATURES,
    FIELD_VERDICT,
    FIELD_REASONS,
    FIELD_CAUSE,
    FIELD_COUNT
};

static struct bytes_buf read_file(const char *name)
{
    char path[512];
    struct bytes_buf buf = {0};
    FILE *file;
    long size;

    snprintf(path, sizeof(path), "%s/fixtures/notation/%s", getenv("GH_TEST_DATA"), name);
    file = fopen(path, "rb");
    if (file == NULL) {
        return buf;
    }
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    assert_true(bytes_buf_alloc((size_t)size, &buf, NULL));
    assert_int_equal(fread(buf.data, 1, (size_t)size, file), (size_t)size);
    fclose(file);
    return buf;
}

/* Cut TEXT in place; "-" is the empty list. */
static size_t split(char *text, const char *separator, char **out, size_t limit)
{
    size_t count = 0;

    if (strcmp(text, "-") == 0) {
        return 0;
    }
    for (char *save = text; count < limit && save != NULL;) {
        out[count++] = strsep(&save, separator);
    }
    return count;
}

static int64_t parse_clock(const char *text)
{
    struct tm tm = {0};

    assert_non_null(strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm));
    return timegm(&tm);
}

struct setup {
    struct notation_store *store;
    struct signer signer;
    struct notation_dn *identities[MAX_LIST];
    struct evidence_annotation metadata[MAX_LIST];
    size_t metadata_count;
    struct bytes_buf manifest;
    struct evidence_subject subject;
    int64_t now;
};

static void add_store(struct setup *setup, enum notation_store_kind kind, char *list)
{
    char *names[MAX_LIST];
    size_t count = split(list, ",", names, MAX_LIST);

    for (size_t i = 0; i < count; i++) {
        struct bytes_buf file = read_file(names[i]);

        assert_true(notation_store_add(setup->store, kind, bytes_view(&file), NULL));
        bytes_buf_done(&file);
    }
}

static enum signer_action action_of(char c)
{
    return c == 'E' ? SIGNER_ENFORCE : c == 'L' ? SIGNER_LOG : SIGNER_SKIP;
}

static void make_signer(struct setup *setup, char **fields)
{
    const char *actions = fields[FIELD_ACTIONS];
    char *identities[MAX_LIST];
    size_t count;

    setup->signer.type = SIGNER_NOTATION;
    setup->signer.store = setup->store;
    setup->signer.authenticity = action_of(actions[0]);
    setup->signer.authentic_timestamp = action_of(actions[1]);
    setup->signer.expiry = action_of(actions[2]);
    setup->signer.revocation = action_of(actions[3]);
    setup->signer.is_timestamp_after_expiry_only = fields[FIELD_AFTER_EXPIRY][0] == '1';
    setup->signer.is_any_identity = strcmp(fields[FIELD_IDENTITIES], "*") == 0;
    if (setup->signer.is_any_identity) {
        return;
    }
    count = split(fields[FIELD_IDENTITIES], ";", identities, MAX_LIST);
    for (size_t i = 0; i < count; i++) {
        assert_true(notation_dn_parse(bytes_of(identities[i]), &setup->identities[i], NULL));
    }
    setup->signer.identities = setup->identities;
    setup->signer.identity_count = count;
}

static void make_setup(struct setup *setup, char **fields)
{
    char *pairs[MAX_LIST];

    memset(setup, 0, sizeof(*setup));
    assert_true(notation_store_new(&setup->store, NULL));
    add_store(setup, NOTATION_STORE_CA, fields[FIELD_CA]);
    add_store(setup, NOTATION_STORE_SIGNING_AUTHORITY, fields[FIELD_SIGNING_AUTHORITY]);
    add_store(setup, NOTATION_STORE_TSA, fields[FIELD_TSA]);
    make_signer(setup, fields);
    setup->metadata_count = split(fields[FIELD_METADATA], ";", pairs, MAX_LIST);
    for (size_t i = 0; i < setup->metadata_count; i++) {
        setup->metadata[i].value = pairs[i];
        setup->metadata[i].name = strsep((char **)&setup->metadata[i].value, "=");
    }
    setup->manifest = read_file(fields[FIELD_MANIFEST]);
    setup->subject.manifest = bytes_view(&setup->manifest);
    setup->subject.media_type = fields[FIELD_MEDIA_TYPE];
    setup->subject.name = "registry.example.test/app";
    assert_true(
        digest_compute(DIGEST_SHA256, setup->subject.manifest, &setup->subject.digest, NULL));
    setup->now = parse_clock(fields[FIELD_CLOCK]);
}

static void drop_setup(struct setup *setup)
{
    for (size_t i = 0; i < setup->signer.identity_count; i++) {
        notation_dn_free(setup->identities[i]);
    }
    notation_store_free(setup->store);
    bytes_buf_done(&setup->manifest);
}

/* Plays the shell: what the fixtures' made-up hosts would serve. */
static void answer_want(const struct evidence_want *want, struct evidence_answer *out)
{
    const char *base = strrchr(want->url, '/') + 1;
    char name[128];
    struct bytes_buf file;

    snprintf(name, sizeof(name), want->kind == EVIDENCE_WANT_OCSP ? "ocsp-%s.der" : "%s", base);
    file = read_file(name);
    memset(out, 0, sizeof(*out));
    out->kind = want->kind;
    out->url = strdup(want->url);
    assert_true(bytes_dup(bytes_view(&want->body), (struct bytes_buf *)&out->body, NULL));
    if (file.data == NULL) {
        gh_fail(&out->failure, GH_UPSTREAM_UNAVAILABLE, "404");
    }
    out->answer = bytes_view(&file);
}

static bool verify(struct setup *setup, char *signature, struct evidence_proof *proof,
                   struct gh_error *err)
{
    bool is_cose = strncmp(signature, "cose:", 5) == 0;
    struct bytes_buf blob = read_file(strchr(signature, ':') + 1);
    struct evidence_item item = {
        .kind = is_cose ? EVIDENCE_NOTATION_COSE : EVIDENCE_NOTATION_JWS,
        .blob = bytes_view(&blob),
    };
    struct evidence_answer answers[MAX_LIST];
    struct evidence_answers known = {answers, 0};
    struct notation_request request = {
        .item = &item,
        .subject = &setup->subject,
        .signer = &setup->signer,
        .metadata = setup->metadata,
        .metadata_count = setup->metadata_count,
        .answers = &known,
        .now_unix_s = setup->now,
    };
    bool is_good = false;

    for (int round = 0; round < 4; round++) {
        struct evidence_wants wants = {0};
        enum evidence_step reached;

        gh_error_clear(err);
        is_good = notation_verify(&request, &wants, &reached, proof, err);
        assert_true(is_good || err->cause != GH_CAUSE_NONE || wants.count > 0);
        if (is_good || err->cause != GH_CAUSE_NONE) {
            evidence_wants_done(&wants);
            break;
        }
        for (size_t i = 0; i < wants.count; i++) {
            answer_want(&wants.items[i], &answers[known.count++]);
        }
        evidence_wants_done(&wants);
    }
    for (size_t i = 0; i < known.count; i++) {
        free((char *)answers[i].url);
        free((uint8_t *)answers[i].body.data);
        free((uint8_t *)answers[i].answer.data);
    }
    bytes_buf_done(&blob);
    return is_good;
}

/* Reasons of the fixtures are coarser than ours in a few places. */
static const char *coarser(const char *reason)
{
    static const char *const rows[][2] = {
        {"timestamp_missing", "timestamp_invalid"},
        {"cert_untrusted", "untrusted_key"},
        {"signature_expired", "cert_expired"},
        {"key_expired", "cert_expired"},
        {"revocation_unknown", "cert_revoked"},
        {"too_large", "malformed"},
        {"unsupported", "malformed"},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        if (strcmp(reason, rows[i][0]) == 0) {
            return rows[i][1];
        }
    }
    return reason;
}

static bool is_listed(const char *list, const char *word)
{
    char *copy = strdup(list);
    char *words[MAX_LIST];
    size_t count = split(copy, ",", words, MAX_LIST);
    bool is_found = false;

    for (size_t i = 0; i < count; i++) {
        is_found = is_found || strcmp(words[i], word) == 0;
    }
    free(copy);
    return is_found;
}

static bool run_case(char **fields)
{
    struct setup setup;
    char *signatures[MAX_LIST];
    size_t count;
    struct gh_error err = {0};
    bool is_good = false;
    bool is_right;

    make_setup(&setup, fields);
    count = split(fields[FIELD_SIGNATURES], ",", signatures, MAX_LIST);
    for (size_t i = 0; i < count && !is_good; i++) {
        struct evidence_proof proof = {0};

        is_good = verify(&setup, signatures[i], &proof, &err);
        if (is_good) {
            assert_true(proof.rest_count > 1);
            assert_true(proof.until_unix_s >= setup.now);
        }
        evidence_proof_done(&proof);
    }
    drop_setup(&setup);
    if (is_good) {
        is_right = strcmp(fields[FIELD_VERDICT], "allow") == 0;
    } else {
        const char *reason = coarser(gh_reason_label(gh_cause_reason(err.cause)));

        is_right = strcmp(fields[FIELD_VERDICT], "deny") == 0 &&
                   is_listed(fields[FIELD_REASONS], reason) &&
                   strcmp(fields[FIELD_CAUSE], gh_cause_label(err.cause)) == 0;
    }
    if (!is_right) {
        print_message("# %s: got %s %s (%s), expected %s %s %s\n", fields[FIELD_ID],
                      is_good ? "allow" : "deny", is_good ? "" : gh_cause_label(err.cause),
                      err.text, fields[FIELD_VERDICT], fields[FIELD_REASONS], fields[FIELD_CAUSE]);
    }
    return is_right;
}

static void notation_verify_fixtures_judged_as_expected(void **state)
{
    struct bytes_buf table = read_file("cases.tsv");
    char *text;
    size_t run = 0;
    size_t wrong = 0;

    (void)state;
    assert_true(bytes_to_cstr(bytes_view(&table), &text, NULL));
    for (char *save = text; save != NULL;) {
        char *line = strsep(&save, "\n");
        char *fields[MAX_FIELDS];

        if (line[0] == '#' || line[0] == '\0') {
            continue;
        }
        assert_int_equal(split(line, "\t", fields, MAX_FIELDS), FIELD_COUNT);
        run++;
        wrong += !run_case(fields);
    }
    print_message("# %zu cases, %zu not as expected\n", run, wrong);
    assert_true(run >= 90);
    assert_int_equal(wrong, 0);
    free(text);
    bytes_buf_done(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notation_verify_fixtures_judged_as_expected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
