#include "crypto/sct.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "crypto/x509_path.h"
#include "tests/support/log_case.h"

static const struct x509_cert *sct_issuer(const struct log_case *c)
{
    size_t count = 0;
    const struct x509_authority *const *authorities = trustroot_authorities(c->root, &count);

    assert_true(count > 0);
    return x509_authority_cert(authorities[0], 0);
}

static enum gh_cause sct_cause(const struct log_case *c, const struct x509_cert *leaf,
                               size_t threshold)
{
    const struct trustroot_log *log = NULL;
    struct gh_error err = {0};
    bool ok = sct_verify(leaf, sct_issuer(c), c->root, threshold, &log, &err);

    assert_int_equal(ok, err.cause == GH_CAUSE_NONE);
    assert_int_equal(log != NULL, ok);
    return err.cause;
}

/* The leaf with the byte at OFFSET of its SCT list changed. */
static struct x509_cert *sct_changed_leaf(const struct log_case *c, size_t offset)
{
    const struct x509_extension *list = x509_view_extension(
        x509_cert_view(c->leaf), BYTES_LITERAL("\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x02"));
    struct bytes_buf der = {0};
    struct x509_cert *out = NULL;

    assert_non_null(list);
    assert_true(offset < list->value.len);
    assert_true(bytes_dup(x509_cert_der(c->leaf), &der, NULL));
    der.data[(size_t)(list->value.data - x509_cert_der(c->leaf).data) + offset] ^= 1;
    assert_true(x509_cert_parse(bytes_view(&der), &out, NULL));
    bytes_buf_done(&der);
    return out;
}

static void sct_verify_good_counts(void **state)
{
    struct log_case c;

    log_case_open(&c, "github-bundle.json", "trusted_root.json");
    assert_int_equal(sct_cause(&c, c.leaf, 1), GH_CAUSE_NONE);
    assert_int_equal(sct_cause(&c, c.leaf, 2), GH_SCT_MISSING);
    log_case_done(&c);
}

static void sct_verify_broken_list_exact_cause(void **state)
{
    /* OCTET STRING header 2, list length 2, SCT length 2; then the SCT */
    static const struct {
        size_t offset;
        enum gh_cause cause;
    } rows[] = {
        {3, GH_SCT_INVALID},          /* length of the list */
        {5, GH_SCT_INVALID},          /* length of the SCT */
        {6, GH_SCT_INVALID},          /* version */
        {7, GH_SCT_LOG_UNKNOWN},      /* log id */
        {38, GH_SCT_LOG_UNKNOWN},     /* its last byte */
        {46, GH_SCT_INVALID},         /* time */
        {48, GH_SIZE_LIMIT_EXCEEDED}, /* length of extensions: the next length moves */
        {49, GH_SCT_INVALID},         /* hash */
        {50, GH_SCT_INVALID},         /* algorithm */
        {60, GH_SCT_INVALID},         /* signature */
    };
    struct log_case c;

    log_case_open(&c, "github-bundle.json", "trusted_root.json");
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct x509_cert *leaf = sct_changed_leaf(&c, rows[i].offset);

        assert_int_equal(sct_cause(&c, leaf, 1), rows[i].cause);
        x509_cert_unref(leaf);
    }
    log_case_done(&c);
}

static void sct_verify_other_issuer_refused(void **state)
{
    struct gh_error err = {0};
    struct log_case c;
    size_t count = 0;
    const struct x509_authority *const *authorities;

    log_case_open(&c, "github-bundle.json", "trusted_root.json");
    authorities = trustroot_authorities(c.root, &count);
    assert_false(sct_verify(c.leaf, x509_authority_cert(authorities[0], 1), c.root, 1, NULL, &err));
    assert_int_equal(err.cause, GH_SCT_INVALID);
    log_case_done(&c);
}

static void sct_verify_ended_log_refused(void **state)
{
    struct log_case c;

    log_case_open(&c, "github-bundle.json", "trusted_root-ctlog-ended.json");
    assert_int_equal(sct_cause(&c, c.leaf, 1), GH_SCT_INVALID);
    log_case_done(&c);
}

static void sct_verify_no_list_refused(void **state)
{
    struct bytes_buf tbs = {0};
    struct gh_error err = {0};
    struct log_case c;

    log_case_open(&c, "github-bundle.json", "trusted_root.json");
    assert_int_equal(sct_cause(&c, sct_issuer(&c), 1), GH_SCT_MISSING);
    assert_false(sct_precert_tbs(x509_cert_view(sct_issuer(&c)), &tbs, &err));
    assert_int_equal(err.cause, GH_SCT_MISSING);
    log_case_done(&c);
}

static void sct_list_read_count_limited(void **state)
{
    uint8_t list[2 + (SCT_MAX_COUNT + 1) * 50] = {0};
    struct sct scts[SCT_MAX_COUNT];
    struct gh_error err = {0};
    size_t count = 0;

    for (size_t i = 0; i <= SCT_MAX_COUNT; i++) {
        list[2 + i * 50 + 1] = 48;         /* length; version, id, time, extensions … */
        list[2 + i * 50 + 2 + 48 - 1] = 1; /* … and a signature of one byte */
        list[2 + i * 50 + 2 + 46] = 1;
    }
    list[0] = (uint8_t)(SCT_MAX_COUNT * 50 >> 8);
    list[1] = (uint8_t)(SCT_MAX_COUNT * 50 & 0xff);
    assert_true(sct_list_read(bytes_make(list, 2 + SCT_MAX_COUNT * 50), scts, &count, NULL));
    assert_int_equal(count, SCT_MAX_COUNT);
    list[0] = (uint8_t)((SCT_MAX_COUNT + 1) * 50 >> 8);
    list[1] = (uint8_t)((SCT_MAX_COUNT + 1) * 50 & 0xff);
    assert_false(sct_list_read(bytes_make(list, sizeof(list)), scts, &count, &err));
    assert_int_equal(err.cause, GH_COUNT_LIMIT_EXCEEDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sct_verify_good_counts),
        cmocka_unit_test(sct_verify_broken_list_exact_cause),
        cmocka_unit_test(sct_verify_other_issuer_refused),
        cmocka_unit_test(sct_verify_ended_log_refused),
        cmocka_unit_test(sct_verify_no_list_refused),
        cmocka_unit_test(sct_list_read_count_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
