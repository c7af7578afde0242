/*
 * Envelopes and tokens published with the reference implementation, with the verdicts it gives at
 * three levels. Read from GH_SUITES (or ../shared/suites beside the source); skipped where absent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/cose.h"
#include "crypto/jws.h"
#include "crypto/notation.h"
#include "crypto/notation_payload.h"
#include "crypto/notation_store.h"
#include "metrics/error.h"

#define NOW 1795219200 /* 2026-11-21 */
#define MAX_FIELDS 20

static char base[400];

static struct bytes_buf read_file(const char *name)
{
    char path[800];
    struct bytes_buf buf = {0};
    FILE *file;
    long size;

    snprintf(path, sizeof(path), "%s/%s", base, name);
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

static int find_suite(void **state)
{
    const char *given = getenv("GH_SUITES");
    const char *data = getenv("GH_TEST_DATA");
    struct bytes_buf index;
    bool is_there;

    (void)state;
    if (given != NULL) {
        snprintf(base, sizeof(base), "%s/notation", given);
    } else {
        snprintf(base, sizeof(base), "%s/../../../shared/suites/notation", data);
    }
    index = read_file("envelope-index.tsv");
    is_there = index.data != NULL;
    bytes_buf_done(&index);
    if (!is_there) {
        snprintf(base, sizeof(base), "%s/../../shared/suites/notation", data);
        index = read_file("envelope-index.tsv");
        is_there = index.data != NULL;
        bytes_buf_done(&index);
    }
    if (!is_there) {
        print_message("# the suite notation is not here\n");
        base[0] = '\0';
    }
    return 0;
}

static void add(struct notation_store *store, enum notation_store_kind kind, const char *name)
{
    struct bytes_buf file = read_file(name);
    struct gh_error err = {0};

    assert_non_null(file.data);
    if (!notation_store_add(store, kind, bytes_view(&file), &err)) {
        print_message("# %s: %s (%s)\n", name, gh_cause_label(err.cause), err.text);
    }
    bytes_buf_done(&file);
}

#define TRUST "notation-go/verifier/testdata/truststore/x509/"

static struct notation_store *make_store(void)
{
    struct notation_store *store = NULL;

    assert_true(notation_store_new(&store, NULL));
    add(store, NOTATION_STORE_CA, TRUST "ca/valid-trust-store/TestTimestampNotYetValid.crt");
    add(store, NOTATION_STORE_CA, TRUST "ca/valid-trust-store/wabbit-networks.io.crt");
    add(store, NOTATION_STORE_CA, TRUST "ca/valid-trust-store/TestTimestamp.crt");
    add(store, NOTATION_STORE_CA, TRUST "ca/valid-trust-store/GlobalSignRootCA.crt");
    add(store, NOTATION_STORE_CA, TRUST "ca/valid-trust-store/NotationTestRoot.pem");
    add(store, NOTATION_STORE_SIGNING_AUTHORITY,
        TRUST "signingAuthority/valid-trust-store/GlobalSignRootCA.crt");
    add(store, NOTATION_STORE_SIGNING_AUTHORITY,
        TRUST "signingAuthority/valid-trust-store/NotationTestRoot.pem");
    add(store, NOTATION_STORE_TSA, TRUST "tsa/test-timestamp/globalsignRoot.cer");
    return store;
}

/* Whatever is asked for could not be had. */
static bool verify(const struct notation_request *request, struct gh_error *err)
{
    struct evidence_answer answers[EVIDENCE_MAX_WANTS * 4] = {0};
    struct evidence_answers known = {answers, 0};
    struct evidence_wants wants[4] = {0};
    struct notation_request own = *request;
    bool is_good = false;

    own.answers = &known;
    for (int round = 0; round < 4; round++) {
        struct evidence_proof proof = {0};
        enum evidence_step reached;

        gh_error_clear(err);
        is_good = notation_verify(&own, &wants[round], &reached, &proof, err);
        evidence_proof_done(&proof);
        if (is_good || err->cause != GH_CAUSE_NONE) {
            break;
        }
        assert_true(wants[round].count > 0);
        for (size_t i = 0; i < wants[round].count; i++) {
            struct evidence_answer *answer = &answers[known.count++];

            answer->kind = wants[round].items[i].kind;
            answer->url = wants[round].items[i].url;
            answer->body = bytes_view(&wants[round].items[i].body);
            gh_fail(&answer->failure, GH_UPSTREAM_UNAVAILABLE, "no network");
        }
    }
    for (int round = 0; round < 4; round++) {
        evidence_wants_done(&wants[round]);
    }
    return is_good;
}

/* The manifests are not part of the suite: the subject is made to be what was signed. */
static bool make_subject(const struct evidence_item *item, struct evidence_subject *subject,
                         char **media_type, struct bytes_buf *body)
{
    struct notation_envelope envelope = {0};
    struct notation_payload payload = {0};
    bool is_read =
        (item->kind == EVIDENCE_NOTATION_COSE ? cose_parse(item->blob, &envelope, NULL)
                                              : jws_parse(item->blob, &envelope, NULL)) &&
        notation_payload_read(envelope.payload, &payload, NULL);

    if (is_read) {
        assert_true(bytes_to_cstr(payload.media_type, media_type, NULL));
        assert_true(bytes_buf_alloc((size_t)payload.size, body, NULL));
        subject->digest = payload.digest;
        subject->manifest = bytes_view(body);
        subject->media_type = *media_type;
    }
    notation_payload_done(&payload);
    notation_envelope_done(&envelope);
    return is_read;
}

static size_t split_tabs(char *line, char **fields)
{
    size_t count = 0;

    for (char *save = line; save != NULL && count < MAX_FIELDS;) {
        fields[count++] = strsep(&save, "\t");
    }
    return count;
}

/* file … strict permissive audit are fields 0, 13, 14, 15. */
static size_t judge(char **fields, const struct notation_store *store)
{
    static const enum signer_action actions[3][4] = {
        {SIGNER_ENFORCE, SIGNER_ENFORCE, SIGNER_ENFORCE, SIGNER_ENFORCE},
        {SIGNER_ENFORCE, SIGNER_LOG, SIGNER_LOG, SIGNER_LOG},
        {SIGNER_LOG, SIGNER_LOG, SIGNER_LOG, SIGNER_LOG},
    };
    struct bytes_buf blob = read_file(fields[0]);
    struct evidence_item item = {.blob = bytes_view(&blob)};
    struct evidence_subject subject = {0};
    struct bytes_buf body = {0};
    char *media_type = NULL;
    size_t wrong = 0;

    assert_non_null(blob.data);
    item.kind =
        strcmp(fields[1], "application/cose") == 0 ? EVIDENCE_NOTATION_COSE : EVIDENCE_NOTATION_JWS;
    (void)make_subject(&item, &subject, &media_type, &body);
    for (size_t level = 0; level < 3; level++) {
        struct signer signer = {
            .type = SIGNER_NOTATION,
            .store = store,
            .is_any_identity = true,
            .authenticity = actions[level][0],
            .authentic_timestamp = actions[level][1],
            .expiry = actions[level][2],
            .revocation = actions[level][3],
        };
        struct notation_request request = {
            .item = &item, .subject = &subject, .signer = &signer, .now_unix_s = NOW};
        struct gh_error err = {0};
        bool is_good = verify(&request, &err);
        bool is_wanted = strncmp(fields[13 + level], "ok", 2) == 0;

        if (is_good != is_wanted) {
            wrong++;
            print_message("# %s level %zu: %s %s (%s), reference: %s\n", fields[0], level,
                          is_good ? "allow" : "deny", gh_cause_label(err.cause), err.text,
                          fields[13 + level]);
        }
    }
    free(media_type);
    bytes_buf_done(&body);
    bytes_buf_done(&blob);
    return wrong;
}

static void notation_verify_suite_agrees_with_reference(void **state)
{
    struct notation_store *store;
    struct bytes_buf index;
    char *text;
    size_t run = 0;
    size_t wrong = 0;

    (void)state;
    if (base[0] == '\0') {
        skip();
    }
    index = read_file("envelope-index.tsv");
    store = make_store();
    assert_true(bytes_to_cstr(bytes_view(&index), &text, NULL));
    for (char *save = text; save != NULL;) {
        char *line = strsep(&save, "\n");
        char *fields[MAX_FIELDS];

        if (strncmp(line, "file\t", 5) == 0 || split_tabs(line, fields) < 16) {
            continue;
        }
        run++;
        wrong += judge(fields, store);
    }
    print_message("# %zu envelopes at three levels, %zu verdicts differ\n", run, wrong);
    assert_true(run >= 20);
    assert_int_equal(wrong, 0);
    free(text);
    bytes_buf_done(&index);
    notation_store_free(store);
}

/* Stricter than the reference: one token, one signer, where it takes any SignerInfo that verifies;
 * and the signer is whom the SignerInfo names, where it goes by the certificate's hash alone. */
static bool is_known_difference(const char *file)
{
    static const char *const files[] = {
        "tspclient-go/internal/cms/testdata/TimeStampTokenWithAnInvalidAndAValidSignerInfo.p7s",
        "tspclient-go/internal/cms/testdata/TimeStampTokenWithUnknownSignerIssuer.p7s",
        "tspclient-go/testdata/TimeStampTokenWithValidAndInvalidSignerInfos.p7s",
    };

    for (size_t i = 0; i < GH_COUNT(files); i++) {
        if (strcmp(file, files[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void tsa_verify_token_suite_agrees_with_reference(void **state)
{
    struct notation_store *store = NULL;
    struct bytes_buf index;
    char *text;
    size_t run = 0;
    size_t wrong = 0;

    (void)state;
    if (base[0] == '\0') {
        skip();
    }
    assert_true(notation_store_new(&store, NULL));
    add(store, NOTATION_STORE_TSA, "tspclient-go/testdata/GlobalSignRootCA.crt");
    index = read_file("tsp-index.tsv");
    assert_true(bytes_to_cstr(bytes_view(&index), &text, NULL));
    for (char *save = text; save != NULL;) {
        char *line = strsep(&save, "\n");
        char *fields[MAX_FIELDS];
        struct bytes_buf blob;
        struct tsa_result token = {0};
        struct gh_error err = {0};
        bool is_good;

        if (strncmp(line, "file\t", 5) == 0 || split_tabs(line, fields) < 6) {
            continue;
        }
        blob = read_file(fields[0]);
        is_good = tsa_verify_token(bytes_view(&blob), BYTES_LITERAL("notation"),
                                   notation_store_tsa(store), NOW, &token, &err);
        tsa_result_done(&token);
        bytes_buf_done(&blob);
        run++;
        if (is_good != (strcmp(fields[1], "accept") == 0)) {
            wrong += !(is_known_difference(fields[0]) && !is_good);
            print_message("# %s: %s %s (%s), reference: %s\n", fields[0],
                          is_good ? "allow" : "deny", gh_cause_label(err.cause), err.text,
                          fields[1]);
        }
    }
    print_message("# %zu tokens, %zu verdicts differ\n", run, wrong);
    assert_true(run >= 20);
    assert_int_equal(wrong, 0);
    free(text);
    bytes_buf_done(&index);
    notation_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notation_verify_suite_agrees_with_reference),
        cmocka_unit_test(tsa_verify_token_suite_agrees_with_reference),
    };

    return cmocka_run_group_tests(tests, find_suite, NULL);
}
