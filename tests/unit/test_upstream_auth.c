/* Challenges and the cache of tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/upstream.h"
#include "proxy/upstream_auth.h"
#include "proxy/upstream_redirect.h"

static size_t parse(const char *text, struct upstream_auth_challenge *out)
{
    size_t count = 0;
    struct gh_error err = {0};

    assert_true(upstream_auth_parse(bytes_of(text), out, &count, &err));
    return count;
}

static void parse_hub_bearer_read(void **state)
{
    struct upstream_auth_challenge out[UPSTREAM_AUTH_MAX_CHALLENGES];

    assert_int_equal(parse("Bearer realm=\"https://auth.docker.io/token\",service=\"registry."
                           "docker.io\",scope=\"repository:a/b:pull,push\",error=\"invalid_token\"",
                           out),
                     1);
    assert_int_equal(out[0].scheme, UPSTREAM_AUTH_BEARER);
    assert_string_equal(out[0].realm, "https://auth.docker.io/token");
    assert_string_equal(out[0].service, "registry.docker.io");
    assert_string_equal(out[0].error, "invalid_token");
}

static void parse_several_bearer_chosen(void **state)
{
    struct upstream_auth_challenge out[UPSTREAM_AUTH_MAX_CHALLENGES];
    size_t count =
        parse("Negotiate YII=, basic Realm=\"a, \\\"b\\\"\" , BEARER realm = \"http://x/t\" ,"
              "service=plain, Digest",
              out);

    assert_int_equal(count, 4);
    assert_int_equal(out[0].scheme, UPSTREAM_AUTH_OTHER);
    assert_int_equal(out[1].scheme, UPSTREAM_AUTH_BASIC);
    assert_string_equal(out[1].realm, "a, \"b\"");
    assert_int_equal(out[2].scheme, UPSTREAM_AUTH_BEARER);
    assert_string_equal(out[2].service, "plain");
    assert_ptr_equal(upstream_auth_choose(out, count), &out[2]);
    assert_ptr_equal(upstream_auth_choose(out, 2), &out[1]);
    assert_null(upstream_auth_choose(out, 1));
}

static void parse_broken_refused(void **state)
{
    static const char *const rows[] = {
        "Bearer realm=\"unterminated", "Bearer realm=\"a\",realm=\"b\"",
        "Bearer realm=\"a\nb\"",       "=x",
        "Bearer realm=\"a\" \x01",
    };
    struct upstream_auth_challenge out[UPSTREAM_AUTH_MAX_CHALLENGES];

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct gh_error err = {0};
        size_t count = 0;

        assert_false(upstream_auth_parse(bytes_of(rows[i]), out, &count, &err));
        assert_int_equal(err.cause, GH_SIG_MALFORMED);
    }
}

static void parse_limits_enforced(void **state)
{
    struct upstream_auth_challenge out[UPSTREAM_AUTH_MAX_CHALLENGES];
    char text[UPSTREAM_AUTH_MAX_HEADER + 2];
    struct gh_error err = {0};
    size_t count = 0;

    assert_int_equal(parse("a, b, c, d, e, f, g, h", out), 8);
    assert_false(upstream_auth_parse(bytes_of("a, b, c, d, e, f, g, h, i"), out, &count, &err));
    assert_int_equal(err.cause, GH_COUNT_LIMIT_EXCEEDED);
    gh_error_clear(&err);
    memset(text, ',', sizeof(text));
    assert_true(upstream_auth_parse(bytes_make(text, sizeof(text) - 2), out, &count, &err));
    assert_false(upstream_auth_parse(bytes_make(text, sizeof(text) - 1), out, &count, &err));
    assert_int_equal(err.cause, GH_SIZE_LIMIT_EXCEEDED);
    gh_error_clear(&err);
    (void)memcpy(text, "Bearer realm=\"", 14);
    memset(text + 14, 'a', UPSTREAM_AUTH_MAX_VALUE);
    (void)memcpy(text + 14 + UPSTREAM_AUTH_MAX_VALUE, "\"", 2);
    assert_false(upstream_auth_parse(bytes_of(text), out, &count, &err));
    assert_int_equal(err.cause, GH_SIZE_LIMIT_EXCEEDED);
}

static void read_token_table(void **state)
{
    static const struct {
        const char *answer;
        const char *token; /* NULL: refused */
        int64_t life_s;
    } rows[] = {
        {"{\"token\":\"abc\",\"expires_in\":300}", "abc", 290},
        {"{\"access_token\":\"xyz\"}", "xyz", 50},
        {"{\"token\":\"\",\"access_token\":\"xyz\",\"expires_in\":5}", "xyz", 1},
        {"{\"token\":\"abc\",\"expires_in\":999999}", "abc", 3590},
        {"{\"token\":\"abc\",\"expires_in\":-1}", "abc", 50},
        {"{\"token\":\"a\\r\\nX-Evil: 1\"}", NULL, 0},
        {"{\"token\":\"a b\"}", NULL, 0},
        {"{}", NULL, 0},
        {"[]", NULL, 0},
        {"{\"token\":7}", NULL, 0},
        {"", NULL, 0},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct gh_error err = {0};
        char *token = NULL;
        int64_t life_s = 0;
        bool is_read = upstream_auth_read_token(bytes_of(rows[i].answer), &token, &life_s, &err);

        assert_int_equal(is_read, rows[i].token != NULL);
        if (is_read) {
            assert_string_equal(token, rows[i].token);
            assert_int_equal(life_s, rows[i].life_s);
        } else {
            assert_int_equal(err.cause, GH_UPSTREAM_DENIED);
        }
        upstream_auth_wipe(token);
    }
}

static void token_url_query_encoded(void **state)
{
    struct upstream_auth_challenge challenge = {.scheme = UPSTREAM_AUTH_BEARER};
    struct gh_error err = {0};
    char *url = NULL;

    (void)strcpy(challenge.realm, "https://auth.example/token?a=b");
    (void)strcpy(challenge.service, "x&scope=evil");
    assert_true(upstream_auth_token_url(&challenge, "repository:a/b:pull", &url, &err));
    assert_non_null(strstr(url, "?a=b&service=x%26scope%3devil&scope=repository%3aa%2fb%3apull"));
    free(url);
}

static void check_realm_table(void **state)
{
    static const char *const hosts[] = {"auth.example", "127.0.0.1:7000"};
    static const struct {
        const char *upstream;
        const char *realm;
        bool is_allowed;
    } rows[] = {
        {"https://reg.example", "https://reg.example/token", true},
        {"https://reg.example", "https://REG.example:443/token", true},
        {"https://reg.example", "https://reg.example.:443/token", true},
        {"https://reg.example", "https://auth.example/token", true},
        {"https://reg.example", "https://reg.example:8443/token", false},
        {"https://reg.example", "http://reg.example/token", false},
        {"https://reg.example", "http://auth.example/token", false},
        {"https://reg.example", "https://evil.example/token", false},
        {"https://reg.example", "https://reg.example@evil.example/token", false},
        {"https://reg.example", "https://u:p@reg.example/token", false},
        {"https://reg.example", "ftp://reg.example/token", false},
        {"https://reg.example", "/token", false},
        {"https://reg.example", "", false},
        {"http://127.0.0.1:5000", "http://127.0.0.1:5000/token", true},
        {"http://127.0.0.1:5000", "http://127.0.0.1:7000/token", true},
        {"http://127.0.0.1:5000", "http://127.0.0.1:7001/token", false},
        {"http://127.0.0.1:5000", "http://auth.example/token", false},
        {"http://127.0.0.1:5000", "https://auth.example/token", true},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct upstream_config config = {.name = "reg",
                                         .url = rows[i].upstream,
                                         .auth_hosts = hosts,
                                         .auth_host_count = GH_COUNT(hosts)};
        struct gh_error err = {0};

        if (upstream_redirect_check_realm(&config, rows[i].realm, &err) != rows[i].is_allowed) {
            fail_msg("%s for %s", rows[i].realm, rows[i].upstream);
        }
        assert_true(rows[i].is_allowed || err.cause == GH_UPSTREAM_ADDRESS_REFUSED);
    }
}

static void resolve_table(void **state)
{
    static const struct {
        const char *base;
        const char *location;
        const char *result; /* NULL: refused */
    } rows[] = {
        {"https://a.example/v2/x", "/v2/y?z=1", "https://a.example/v2/y?z=1"},
        {"https://a.example/v2/x", "https://cdn.example/y#frag", "https://cdn.example/y"},
        {"https://a.example/v2/x", "//cdn.example/y", "https://cdn.example/y"},
        {"https://a.example/v2/x", "http://a.example/y", NULL},
        {"http://a.example/v2/x", "https://a.example/y", "https://a.example/y"},
        {"https://a.example/v2/x", "file:///etc/passwd", NULL},
        {"https://a.example/v2/x", "gopher://a.example/", NULL},
        {"https://a.example/v2/x", "https://u:p@b.example/", NULL},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct gh_error err = {0};
        char *url = NULL;
        bool is_good = upstream_redirect_resolve(rows[i].base, rows[i].location, &url, &err);

        assert_int_equal(is_good, rows[i].result != NULL);
        if (is_good) {
            assert_string_equal(url, rows[i].result);
        } else {
            assert_int_equal(err.cause, GH_UPSTREAM_ADDRESS_REFUSED);
        }
        free(url);
    }
}

static void cache_single_flight_then_expiry(void **state)
{
    struct upstream_auth *auth = calloc(1, sizeof(*auth));
    struct gh_error err = {0};
    uint64_t fetch = 0;
    uint64_t other = 0;
    char *token = NULL;

    (void)strcpy(auth->challenge.realm, "https://a/t");
    assert_int_equal(upstream_auth_get(auth, "s", 0, &token, &fetch, &err), UPSTREAM_AUTH_FETCH);
    assert_int_equal(upstream_auth_get(auth, "s", 0, &token, &other, &err), UPSTREAM_AUTH_WAIT);
    assert_int_equal(upstream_auth_get(auth, "t", 0, &token, &other, &err), UPSTREAM_AUTH_FETCH);
    upstream_auth_put(auth, fetch, strdup("tok"), 1000);
    assert_int_equal(upstream_auth_get(auth, "s", 999, &token, &fetch, &err), UPSTREAM_AUTH_GO);
    assert_string_equal(token, "tok");
    upstream_auth_wipe(token);
    assert_int_equal(upstream_auth_get(auth, "s", 1000, &token, &fetch, &err), UPSTREAM_AUTH_FETCH);
    upstream_auth_abandon(auth, fetch);
    assert_int_equal(upstream_auth_get(auth, "s", 1000, &token, &fetch, &err), UPSTREAM_AUTH_FETCH);
    upstream_auth_done(auth);
    free(auth);
}

static void cache_failure_shared_briefly(void **state)
{
    struct upstream_auth *auth = calloc(1, sizeof(*auth));
    struct gh_error failure = {.cause = GH_UPSTREAM_DENIED};
    struct gh_error err = {0};
    uint64_t fetch = 0;
    char *token = NULL;

    assert_int_equal(upstream_auth_get(auth, "s", 0, &token, &fetch, &err), UPSTREAM_AUTH_FETCH);
    upstream_auth_fail(auth, fetch, &failure, 0);
    assert_int_equal(upstream_auth_get(auth, "s", 1, &token, &fetch, &err), UPSTREAM_AUTH_REFUSED);
    assert_int_equal(err.cause, GH_UPSTREAM_DENIED);
    assert_int_equal(upstream_auth_get(auth, "s", UPSTREAM_AUTH_FAILURE_MS, &token, &fetch, &err),
                     UPSTREAM_AUTH_FETCH);
    upstream_auth_done(auth);
    free(auth);
}

static void cache_drop_only_that_token(void **state)
{
    struct upstream_auth *auth = calloc(1, sizeof(*auth));
    struct gh_error err = {0};
    uint64_t fetch = 0;
    uint64_t serial = 0;
    char *token = NULL;

    assert_int_equal(upstream_auth_get(auth, "s", 0, &token, &fetch, &err), UPSTREAM_AUTH_FETCH);
    upstream_auth_put(auth, fetch, strdup("tok"), 1000);
    upstream_auth_drop(auth, fetch + 1);
    assert_int_equal(upstream_auth_get(auth, "s", 0, &token, &serial, &err), UPSTREAM_AUTH_GO);
    upstream_auth_wipe(token);
    upstream_auth_drop(auth, serial);
    assert_int_equal(upstream_auth_get(auth, "s", 0, &token, &fetch, &err), UPSTREAM_AUTH_FETCH);
    upstream_auth_done(auth);
    free(auth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_hub_bearer_read),
        cmocka_unit_test(parse_several_bearer_chosen),
        cmocka_unit_test(parse_broken_refused),
        cmocka_unit_test(parse_limits_enforced),
        cmocka_unit_test(read_token_table),
        cmocka_unit_test(token_url_query_encoded),
        cmocka_unit_test(check_realm_table),
        cmocka_unit_test(resolve_table),
        cmocka_unit_test(cache_single_flight_then_expiry),
        cmocka_unit_test(cache_failure_shared_briefly),
        cmocka_unit_test(cache_drop_only_that_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
