#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/key.h"
#include "crypto/signer.h"
#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/trust_lint.h"
#include "proxy/trust_refresh.h"
#include "tests/support/memory_loader.h"

#define NOW INT64_C(1795219200)
#define DAY INT64_C(86400)

static void collect(void *context, const struct trust_finding *finding)
{
    struct text *out = context;

    text_printf(out, "%s ", finding->rule);
}

/* The rules that a signer with these keys breaks, each followed by a blank. */
static const char *lint_keys(struct signer_key *keys, size_t count, struct text *out)
{
    struct signer signer = {
        .name = (char *)"release", .type = SIGNER_KEYS, .keys = keys, .key_count = count};
    struct gh_error err = {0};
    struct key *key = NULL;

    assert_true(key_parse_pem(bytes_of(MEMORY_KEY_A), &key, &err));
    for (size_t i = 0; i < count; i++) {
        keys[i].key = key;
        keys[i].source = (char *)"a.pub";
    }
    text_clear(out);
    trust_lint_signer(&signer, NOW, TRUST_LINT_CADENCE_S, collect, out);
    key_free(key);
    return text_cstr(out);
}

static void keys_in_each_state_break_their_rule(void **state)
{
    struct text out;
    struct signer_key good[] = {
        {.not_before_unix_s = NOW - 100 * DAY, .not_after_unix_s = NOW + 100 * DAY}};
    struct signer_key endless[] = {{.not_before_unix_s = INT64_MIN, .not_after_unix_s = INT64_MAX}};
    struct signer_key ending[] = {
        {.not_before_unix_s = NOW - DAY, .not_after_unix_s = NOW + 29 * DAY}};
    struct signer_key old[] = {
        {.not_before_unix_s = NOW - 401 * DAY, .not_after_unix_s = NOW + 100 * DAY}};
    struct signer_key revoked[] = {{.not_before_unix_s = NOW - DAY,
                                    .not_after_unix_s = NOW + 100 * DAY,
                                    .revoked = SIGNER_COMPROMISED}};

    text_init(&out, 4096);
    assert_string_equal(lint_keys(good, 1, &out), "");
    assert_string_equal(lint_keys(endless, 1, &out), "key_endless ");
    assert_string_equal(lint_keys(ending, 1, &out), "key_ahead ");
    assert_string_equal(lint_keys(old, 1, &out), "key_cadence ");
    assert_string_equal(lint_keys(revoked, 1, &out), "key_ahead ");
    text_done(&out);
}

static void successor_within_seven_days_is_no_overlap(void **state)
{
    struct text out;
    struct signer_key keys[] = {
        {.not_before_unix_s = NOW - 100 * DAY, .not_after_unix_s = NOW + 20 * DAY},
        {.not_before_unix_s = NOW + 14 * DAY, .not_after_unix_s = NOW + 300 * DAY}};

    text_init(&out, 4096);
    assert_string_equal(lint_keys(keys, 2, &out), "key_overlap ");
    keys[1].not_before_unix_s = NOW + 13 * DAY;
    assert_string_equal(lint_keys(keys, 2, &out), "");
    keys[1].not_before_unix_s = NOW + 25 * DAY; /* a hole between them */
    assert_string_equal(lint_keys(keys, 2, &out), "key_overlap ");
    text_done(&out);
}

static const char *lint_root(const struct config_root *root, int64_t changed, struct text *out)
{
    text_clear(out);
    trust_lint_root(root, changed, NOW, TRUST_LINT_CADENCE_S, collect, out);
    return text_cstr(out);
}

static void roots_in_each_state_break_their_rule(void **state)
{
    struct digest content = {.alg = DIGEST_SHA256};
    struct config_root root = {.name = "acme",
                               .source = "https://tuf.example",
                               .url = "https://tuf.example",
                               .max_age_s = 7 * DAY,
                               .refreshed_unix_s = NOW - DAY,
                               .stale_at_unix_s = NOW + 6 * DAY,
                               .ends_unix_s = INT64_MAX,
                               .lists_end_unix_s = INT64_MAX,
                               .content = &content};
    struct text out;

    text_init(&out, 4096);
    assert_string_equal(lint_root(&root, INT64_MIN, &out), "");
    root.stale_at_unix_s = NOW + 3 * DAY;
    assert_string_equal(lint_root(&root, INT64_MIN, &out), "root_unrefreshed ");
    root.stale_at_unix_s = NOW;
    assert_string_equal(lint_root(&root, INT64_MIN, &out), "root_stale ");
    root.content = NULL;
    assert_string_equal(lint_root(&root, INT64_MIN, &out), "root_missing ");
    root.url = NULL;
    root.content = &content;
    root.ends_unix_s = NOW + 10 * DAY;
    root.lists_end_unix_s = NOW - DAY;
    assert_string_equal(lint_root(&root, NOW - 401 * DAY, &out),
                        "root_cadence root_ends list_unrefreshed ");
    text_done(&out);
}

static void refresh_interval_follows_the_shortest_life(void **state)
{
    assert_int_equal(trust_refresh_interval(NOW, NOW + 7 * DAY, 7 * DAY), TRUST_REFRESH_EVERY_S);
    assert_int_equal(trust_refresh_interval(NOW, NOW + 7200, 7 * DAY), 3600);
    assert_int_equal(trust_refresh_interval(NOW, NOW + 7 * DAY, 3600), 1200);
    assert_int_equal(trust_refresh_interval(NOW, NOW + 2, 7 * DAY), TRUST_REFRESH_FLOOR_S);
    assert_int_equal(trust_refresh_interval(NOW, NOW - 2, 7 * DAY), TRUST_REFRESH_EVERY_S);
}

static void notes_warn_before_anything_is_refused(void **state)
{
    struct digest content = {.alg = DIGEST_SHA256};
    struct config_root root = {.name = "acme",
                               .url = "https://tuf.example",
                               .max_age_s = 7 * DAY,
                               .stale_at_unix_s = NOW + 6 * DAY,
                               .ends_unix_s = INT64_MAX,
                               .lists_end_unix_s = INT64_MAX,
                               .content = &content};
    struct text out;

    text_init(&out, 4096);
    assert_false(trust_refresh_note(&root, NOW, &out));
    root.stale_at_unix_s = NOW + 3 * DAY;
    assert_true(trust_refresh_note(&root, NOW, &out));
    assert_string_equal(text_cstr(&out), "trust root acme is not being refreshed: it serves until "
                                         "2026-11-24T00:00:00Z");
    text_clear(&out);
    root.stale_at_unix_s = NOW;
    assert_true(trust_refresh_note(&root, NOW, &out));
    assert_non_null(strstr(text_cstr(&out), "past its max_age"));
    text_done(&out);
}

static void rewrite_is_for_a_repository_without_its_last_slash(void **state)
{
    assert_true(config_rewrite_matches("https://tuf.example/", "https://tuf.example"));
    assert_true(config_rewrite_matches("https://tuf.example/", "https://tuf.example/a"));
    assert_false(config_rewrite_matches("https://tuf.example/", "https://tuf.example.org"));
    assert_false(config_rewrite_matches("https://tuf.example/a/", "https://tuf.example/b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_in_each_state_break_their_rule),
        cmocka_unit_test(successor_within_seven_days_is_no_overlap),
        cmocka_unit_test(roots_in_each_state_break_their_rule),
        cmocka_unit_test(refresh_interval_follows_the_shortest_life),
        cmocka_unit_test(notes_warn_before_anything_is_refused),
        cmocka_unit_test(rewrite_is_for_a_repository_without_its_last_slash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
