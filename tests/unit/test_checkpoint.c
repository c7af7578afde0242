#include "crypto/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "crypto/memo.h"
#include "metrics/error.h"

#define ROOT32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define DASH "\xe2\x80\x94 "
#define TEXT "log.test\n7\n" ROOT32 "\n"

/* A log or witness with an Ed25519 key. */
struct signer {
    EVP_PKEY *evp;
    struct key *key;
    const char *name;
    uint8_t type; /* 1: log, 4: witness */
};

static struct signer signer_new(const char *name, uint8_t type)
{
    struct signer signer = {EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL, name, type};

    assert_non_null(signer.evp);
    assert_true(key_from_evp(signer.evp, &signer.key, NULL));
    return signer;
}

static void signer_done(struct signer *signer)
{
    key_free(signer->key);
    EVP_PKEY_free(signer->evp);
}

static void signer_id(const struct signer *signer, uint8_t id[4])
{
    struct bytes spki = key_spki(signer->key);
    uint8_t data[128];
    size_t len = (size_t)snprintf((char *)data, sizeof(data), "%s\n", signer->name);
    struct digest digest;

    data[len++] = signer->type;
    memcpy(data + len, spki.data + spki.len - 32, 32);
    assert_true(digest_compute(DIGEST_SHA256, bytes_make(data, len + 32), &digest, NULL));
    memcpy(id, digest.value, 4);
}

static void signer_sign(const struct signer *signer, const char *message, uint8_t out[64])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = 64;

    assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, signer->evp), 1);
    assert_int_equal(EVP_DigestSign(ctx, out, &len, (const uint8_t *)message, strlen(message)), 1);
    EVP_MD_CTX_free(ctx);
}

/* Append the signature line for TEXT to NOTE. */
static void signer_append(const struct signer *signer, const char *text, char *note)
{
    uint8_t blob[4 + 8 + 64] = {0};
    char message[1024];
    size_t len = 4;
    char *line;

    signer_id(signer, blob);
    (void)snprintf(message, sizeof(message), "%s%s",
                   signer->type == 4 ? "cosignature/v1\ntime 5\n" : "", text);
    if (signer->type == 4) {
        blob[11] = 5;
        len = 12;
    }
    signer_sign(signer, message, blob + len);
    line = bytes_base64_encode(bytes_make(blob, len + 64), BYTES_BASE64_STANDARD);
    (void)sprintf(note + strlen(note), DASH "%s %s\n", signer->name, line);
    free(line);
}

static void checkpoint_parse_broken_refused(void **state)
{
    static const char line[] = DASH "log.test AAAAAAAA\n";
    static const struct {
        const char *text;
        const char *signatures;
        bool is_good;
    } rows[] = {
        {TEXT "\n", line, true},
        {TEXT "Timestamp: 1\nmore\n\n", line, true},
        {TEXT "\n", DASH "a AAAAAAAA\n" DASH "b AAAAAAAA\n", true},
        {"log.test\n0\n" ROOT32 "\n\n", line, true},
        {TEXT, line, false},                           /* no empty line */
        {"\n7\n" ROOT32 "\n\n", line, false},          /* no origin */
        {"log.test\n" ROOT32 "\n\n", line, false},     /* no size */
        {"log.test\n7\n\n", line, false},              /* no root */
        {"log.test\n07\n" ROOT32 "\n\n", line, false}, /* leading zero */
        {"log.test\n+7\n" ROOT32 "\n\n", line, false}, /* sign */
        {"log.test\n9223372036854775808\n" ROOT32 "\n\n", line, false},
        {"log.test\n99999999999999999999\n" ROOT32 "\n\n", line, false},
        {"log.test\n7\nAAAA\n\n", line, false},            /* short root */
        {"log.test\n7\n" ROOT32 "\n\nx\n\n", line, false}, /* empty line within */
        {"log\x01test\n7\n" ROOT32 "\n\n", line, false},   /* control character */
        {"log\xfftest\n7\n" ROOT32 "\n\n", line, false},   /* no UTF-8 */
        {TEXT "\n", "", false},                            /* no signature */
        {TEXT "\n", DASH "log.test AAAAAAAA", false},      /* no newline */
        {TEXT "\n", "- log.test AAAAAAAA\n", false},       /* another dash */
        {TEXT "\n", DASH "log.test\n", false},             /* no value */
        {TEXT "\n", DASH " AAAAAAAA\n", false},            /* no name */
        {TEXT "\n", DASH "a+b AAAAAAAA\n", false},         /* plus in a name */
        {TEXT "\n", DASH "log.test AAAA AAAA\n", false},   /* space in a value */
        {TEXT "\n", DASH "log.test AAAAAA==\n", false},    /* a key id alone */
        {TEXT "\n", DASH "log.test AAAAAAA\n", false},     /* no base64 */
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct checkpoint checkpoint;
        struct gh_error err = {0};
        char note[1024];
        bool ok;

        (void)snprintf(note, sizeof(note), "%s%s", rows[i].text, rows[i].signatures);
        ok = checkpoint_parse(bytes_of(note), &checkpoint, &err);
        if (ok != rows[i].is_good || (!ok && err.cause != GH_CHECKPOINT_MALFORMED)) {
            fail_msg("row %zu: %s %s", i, gh_cause_label(err.cause), err.text);
        }
        if (ok) {
            assert_true(bytes_equal_cstr(checkpoint.origin, "log.test"));
            checkpoint_done(&checkpoint);
        }
    }
}

static void checkpoint_parse_counts_limited(void **state)
{
    struct checkpoint checkpoint;
    struct gh_error err = {0};
    char note[4096] = TEXT "\n";
    char *big = calloc(1, CHECKPOINT_MAX_BYTES + 1);

    for (unsigned i = 0; i < CHECKPOINT_MAX_SIGNATURES; i++) {
        strcat(note, DASH "a AAAAAAAA\n");
    }
    assert_true(checkpoint_parse(bytes_of(note), &checkpoint, NULL));
    assert_int_equal(checkpoint.signature_count, CHECKPOINT_MAX_SIGNATURES);
    checkpoint_done(&checkpoint);
    strcat(note, DASH "a AAAAAAAA\n");
    assert_false(checkpoint_parse(bytes_of(note), &checkpoint, &err));
    assert_int_equal(err.cause, GH_COUNT_LIMIT_EXCEEDED);
    gh_error_clear(&err);
    assert_false(checkpoint_parse(bytes_make(big, CHECKPOINT_MAX_BYTES + 1), &checkpoint, &err));
    assert_int_equal(err.cause, GH_SIZE_LIMIT_EXCEEDED);
    free(big);
}

static enum gh_cause checkpoint_cause(const char *note, const struct signer *log, const char *name,
                                      const uint8_t *id, struct memo *memo)
{
    struct checkpoint_key key = {log->key, KEY_SCHEME_ED25519, DIGEST_NONE, bytes_of(name)};
    struct checkpoint checkpoint;
    struct gh_error err = {0};
    bool ok;

    assert_true(checkpoint_parse(bytes_of(note), &checkpoint, NULL));
    ok = checkpoint_verify(&checkpoint, &key, id, memo, &err);
    assert_int_equal(ok, err.cause == GH_CAUSE_NONE);
    checkpoint_done(&checkpoint);
    return err.cause;
}

static void checkpoint_verify_signature_and_key_id_decide(void **state)
{
    struct signer log = signer_new("log.test", 1);
    struct signer other = signer_new("log.test", 1);
    char note[1024] = TEXT "\n";
    struct memo *memo = NULL;
    uint8_t id[4];

    assert_true(memo_new(&memo, NULL));
    signer_append(&other, TEXT, note);
    assert_int_equal(checkpoint_cause(note, &log, "log.test", NULL, NULL),
                     GH_CHECKPOINT_SIGNATURE_INVALID);
    signer_append(&log, TEXT, note); /* the order of lines is free, strangers are ignored */
    assert_int_equal(checkpoint_cause(note, &log, "log.test", NULL, memo), GH_CAUSE_NONE);
    assert_int_equal(checkpoint_cause(note, &log, "log.test", NULL, memo), GH_CAUSE_NONE);
    assert_int_equal(checkpoint_cause(note, &log, "log2.test", NULL, memo),
                     GH_CHECKPOINT_SIGNATURE_INVALID);
    signer_id(&other, id); /* the hint selects a line, only the signature proves */
    assert_int_equal(checkpoint_cause(note, &log, "log.test", id, memo),
                     GH_CHECKPOINT_SIGNATURE_INVALID);
    note[9] = '8';
    assert_int_equal(checkpoint_cause(note, &log, "log.test", NULL, memo),
                     GH_CHECKPOINT_SIGNATURE_INVALID);
    memo_free(memo);
    signer_done(&log);
    signer_done(&other);
}

/* Two lines of the log, one of them wrong: the note is refused. */
static void checkpoint_verify_bad_second_line_refused(void **state)
{
    struct signer log = signer_new("log.test", 1);
    char note[1024] = TEXT "\n";

    signer_append(&log, TEXT, note);
    signer_append(&log, "log.test\n8\n" ROOT32 "\n", note);
    assert_int_equal(checkpoint_cause(note, &log, "log.test", NULL, NULL),
                     GH_CHECKPOINT_SIGNATURE_INVALID);
    signer_done(&log);
}

static void checkpoint_check_witnesses_distinct_counted(void **state)
{
    struct signer one = signer_new("one.test", 4);
    struct signer two = signer_new("two.test", 4);
    struct checkpoint_witness witnesses[] = {{bytes_of("one.test"), one.key},
                                             {bytes_of("two.test"), two.key},
                                             {bytes_of("three.test"), one.key}};
    char note[2048] = TEXT "\n";
    struct checkpoint checkpoint;
    struct gh_error err = {0};

    signer_append(&one, TEXT, note);
    signer_append(&one, TEXT, note);
    assert_true(checkpoint_parse(bytes_of(note), &checkpoint, NULL));
    assert_true(checkpoint_check_witnesses(&checkpoint, witnesses, 3, 1, NULL));
    assert_false(checkpoint_check_witnesses(&checkpoint, witnesses, 3, 2, &err));
    assert_int_equal(err.cause, GH_WITNESS_THRESHOLD_NOT_MET);
    checkpoint_done(&checkpoint);
    signer_append(&two, TEXT, note);
    assert_true(checkpoint_parse(bytes_of(note), &checkpoint, NULL));
    assert_true(checkpoint_check_witnesses(&checkpoint, witnesses, 3, 2, NULL));
    checkpoint_done(&checkpoint);
    note[9] = '8'; /* another tree */
    assert_true(checkpoint_parse(bytes_of(note), &checkpoint, NULL));
    gh_error_clear(&err);
    assert_false(checkpoint_check_witnesses(&checkpoint, witnesses, 3, 1, &err));
    assert_int_equal(err.cause, GH_WITNESS_THRESHOLD_NOT_MET);
    checkpoint_done(&checkpoint);
    signer_done(&one);
    signer_done(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoint_parse_broken_refused),
        cmocka_unit_test(checkpoint_parse_counts_limited),
        cmocka_unit_test(checkpoint_verify_signature_and_key_id_decide),
        cmocka_unit_test(checkpoint_verify_bad_second_line_refused),
        cmocka_unit_test(checkpoint_check_witnesses_distinct_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
