#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/text.h"
#include "proxy/token.h"

#define NOW INT64_C(1795219200)

static const uint8_t key[TOKEN_KEY_BYTES] = {1};
static const uint8_t other_key[TOKEN_KEY_BYTES] = {2};

static void make(struct token *token, struct text *out)
{
    memset(token, 0, sizeof(*token));
    (void)snprintf(token->tenant, sizeof(token->tenant), "pay");
    (void)snprintf(token->principal, sizeof(token->principal), "jane \"x\"");
    token->expires_unix_s = NOW + 300;
    assert_true(token_add_scope(token, "repository:host:5000/acme/app:pull,push repository:b:*"));
    text_init(out, TOKEN_MAX_BYTES);
    assert_true(token_write(key, token, out));
}

static void token_read_gives_what_was_written(void **state)
{
    struct token token;
    struct token back;
    struct text text;

    (void)state;
    make(&token, &text);
    assert_true(token_read(key, bytes_make(text.data, text.len), NOW, &back));
    assert_string_equal(back.tenant, "pay");
    assert_string_equal(back.principal, "jane \"x\"");
    assert_string_equal(back.session, "");
    assert_int_equal(back.name_count, 2);
    assert_true(token_has_name(&back, "host:5000/acme/app"));
    assert_true(token_has_name(&back, "b"));
    assert_false(token_has_name(&back, "host:5000/acme/ap"));
    text_done(&text);
}

static void token_read_refuses_what_is_over_or_changed(void **state)
{
    struct token token;
    struct token back;
    struct text text;

    (void)state;
    make(&token, &text);
    assert_true(token_read(key, bytes_make(text.data, text.len), NOW + 299, &back));
    assert_false(token_read(key, bytes_make(text.data, text.len), NOW + 300, &back));
    assert_false(token_read(other_key, bytes_make(text.data, text.len), NOW, &back));
    assert_false(token_read(key, bytes_make(text.data, text.len - 1), NOW, &back));
    assert_false(token_read(key, bytes_make("", 0), NOW, &back));
    assert_false(token_read(key, bytes_of("."), NOW, &back));
    for (size_t i = 0; i < text.len; i++) {
        char before = text.data[i];

        text.data[i] = before == 'A' ? 'B' : 'A';
        assert_false(token_read(key, bytes_make(text.data, text.len), NOW, &back));
        text.data[i] = before;
    }
    text_done(&text);
}

static void token_scope_grants_pulls_of_names_alone(void **state)
{
    static const char *const nothing[] = {
        "",           "repository:a:push", "repository:a:",    "registry:catalog:*",
        "repository", "repository:",       "repository::pull", "repository:a:pullx",
        " ",
    };
    static const char *const bad[] = {"repository:../a:pull", "repository:A:pull",
                                      "repository:a\n:pull"};
    struct token token = {0};
    char many[TOKEN_MAX_NAMES * 32 + 64] = "";

    (void)state;
    for (size_t i = 0; i < GH_COUNT(nothing); i++) {
        assert_true(token_add_scope(&token, nothing[i]));
        assert_int_equal(token.name_count, 0);
    }
    for (size_t i = 0; i < GH_COUNT(bad); i++) {
        assert_false(token_add_scope(&token, bad[i]));
    }
    assert_true(token_add_scope(&token, "repository:a:pull repository:a:pull"));
    assert_int_equal(token.name_count, 1);
    for (size_t i = 0; i < TOKEN_MAX_NAMES; i++) {
        (void)snprintf(many + strlen(many), sizeof(many) - strlen(many), "repository:n%zu:pull ",
                       i);
    }
    assert_false(token_add_scope(&token, many));
}

static void token_form_is_decoded_and_bounded(void **state)
{
    struct bytes form = bytes_of("scope=repository%3Aa%2Fb%3Apull+x&empty&=v&bad=%zz&long=123456");
    char name[8];
    char value[32];
    bool is_bad;

    (void)state;
    assert_true(token_form_next(&form, name, sizeof(name), value, sizeof(value), &is_bad));
    assert_false(is_bad);
    assert_string_equal(name, "scope");
    assert_string_equal(value, "repository:a/b:pull x");
    assert_true(token_form_next(&form, name, sizeof(name), value, sizeof(value), &is_bad));
    assert_string_equal(name, "empty");
    assert_string_equal(value, "");
    assert_true(token_form_next(&form, name, sizeof(name), value, sizeof(value), &is_bad));
    assert_string_equal(name, "");
    assert_true(token_form_next(&form, name, sizeof(name), value, sizeof(value), &is_bad));
    assert_true(is_bad);
    assert_true(token_form_next(&form, name, sizeof(name), value, 6, &is_bad));
    assert_true(is_bad);
    assert_false(token_form_next(&form, name, sizeof(name), value, sizeof(value), &is_bad));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_read_gives_what_was_written),
        cmocka_unit_test(token_read_refuses_what_is_over_or_changed),
        cmocka_unit_test(token_scope_grants_pulls_of_names_alone),
        cmocka_unit_test(token_form_is_decoded_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
