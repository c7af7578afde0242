#include <crypt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "proxy/htpasswd.h"

/* Cost 4, so that the test is quick. */
static const char *hash_of(const char *password, struct crypt_data *data)
{
    memset(data, 0, sizeof(*data));
    return crypt_r(password, "$2y$04$abcdefghijklmnopqrstuu", data);
}

static void htpasswd_check_right_password_remembered(void **state)
{
    GH_OWN(htpasswd_freep) struct htpasswd *users = NULL;
    struct crypt_data data;
    struct gh_error err = {0};
    char text[256];

    (void)snprintf(text, sizeof(text), "# team\n\nalice:%s\r\n", hash_of("s3cret:x", &data));
    assert_true(htpasswd_parse(bytes_of(text), &users, &err));
    assert_false(htpasswd_is_remembered(users, "alice", "s3cret:x", 1000));
    assert_false(htpasswd_check(users, "alice", "wrong", 1000));
    assert_false(htpasswd_check(users, "bob", "s3cret:x", 1000));
    assert_false(htpasswd_check(users, "", "", 1000));
    assert_false(htpasswd_is_remembered(users, "alice", "wrong", 1000));
    assert_true(htpasswd_check(users, "alice", "s3cret:x", 1000));
    assert_true(
        htpasswd_is_remembered(users, "alice", "s3cret:x", 1000 + HTPASSWD_REMEMBER_MS - 1));
    assert_false(htpasswd_is_remembered(users, "alice", "s3cret:x", 1000 + HTPASSWD_REMEMBER_MS));
    assert_false(htpasswd_is_remembered(users, "alices", "3cret:x", 1001));
}

static void htpasswd_parse_faults_refused(void **state)
{
    static const char *const rows[] = {
        "alice",
        ":$2y$04$abcdefghijklmnopqrstuuq7C4ekaiC9jO4nMLhvt0lJmDbgAOC1S",
        "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "alice:$apr1$abcdefgh$0123456789012345678901",
        "alice:plain",
        "alice:$2y$04$short",
        ("a:$2y$04$abcdefghijklmnopqrstuuq7C4ekaiC9jO4nMLhvt0lJmDbgAOC1S\n"
         "a:$2y$04$abcdefghijklmnopqrstuuq7C4ekaiC9jO4nMLhvt0lJmDbgAOC1S"),
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct htpasswd *users = NULL;
        struct gh_error err = {0};

        assert_false(htpasswd_parse(bytes_of(rows[i]), &users, &err));
        assert_int_equal(err.cause, GH_POLICY_DENIED);
        assert_null(users);
    }
}

static void htpasswd_read_basic_forms_judged(void **state)
{
    char user[HTPASSWD_MAX_USER + 1];
    char password[HTPASSWD_MAX_PASSWORD + 1];

    assert_true(htpasswd_read_basic(bytes_of("Basic YWxpY2U6czNjOnJldA=="), user, password));
    assert_string_equal(user, "alice");
    assert_string_equal(password, "s3c:ret");
    assert_true(htpasswd_read_basic(bytes_of("basic YTo="), user, password));
    assert_string_equal(password, "");
    assert_false(htpasswd_read_basic(bytes_of("Bearer YWxpY2U6czNjOnJldA=="), user, password));
    assert_false(htpasswd_read_basic(bytes_of("Basic YWxpY2U"), user, password));
    assert_false(htpasswd_read_basic(bytes_of("Basic OmE="), user, password));
    assert_false(htpasswd_read_basic(bytes_of("Basic "), user, password));
    assert_false(htpasswd_read_basic(bytes_of("Basic AGE6Yg=="), user, password));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(htpasswd_check_right_password_remembered),
        cmocka_unit_test(htpasswd_parse_faults_refused),
        cmocka_unit_test(htpasswd_read_basic_forms_judged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
