#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "proxy/session.h"

#define NOW INT64_C(1795219200)

static struct session_set *set_up(void)
{
    struct session_set *set = NULL;
    struct gh_error error = {0};

    assert_true(session_set_new(&set, &error));
    return set;
}

static void open_session(struct session_set *set, const char *tenant, const char *upstream,
                         const char *user, const char *password, char *id)
{
    const struct session_credential credential = {tenant, upstream, user, password};
    struct gh_error error = {0};

    assert_true(session_open(set, &credential, NOW, id, &error));
}

static void session_is_one_per_credential(void **state)
{
    struct session_set *set = set_up();
    char ids[6][SESSION_ID_CHARS + 1];

    (void)state;
    open_session(set, "t", "u", "ann", "pw", ids[0]);
    open_session(set, "t", "u", "ann", "pW", ids[1]);
    open_session(set, "t", "v", "ann", "pw", ids[2]);
    open_session(set, "s", "u", "ann", "pw", ids[3]);
    open_session(set, "t", "u", "annp", "w", ids[4]);
    open_session(set, "t", "u", "ann", "pw", ids[5]);
    for (size_t i = 1; i < 5; i++) {
        assert_string_not_equal(ids[0], ids[i]);
    }
    assert_string_equal(ids[0], ids[5]);
    session_set_free(set);
}

static void session_of_another_tenant_or_upstream_is_not_found(void **state)
{
    struct session_set *set = set_up();
    char id[SESSION_ID_CHARS + 1];
    struct session *session;

    (void)state;
    open_session(set, "t", "u", "ann", "pw", id);
    assert_null(session_find(set, id, "s", "u", NOW));
    assert_null(session_find(set, id, "t", "v", NOW));
    assert_null(session_find(set, "", "t", "u", NOW));
    session = session_find(set, id, "t", "u", NOW);
    assert_non_null(session);
    assert_string_equal(session_user(session), "ann");
    session_unref(session);
    session_set_free(set);
}

static void session_probe_is_remembered_for_its_repository_and_time(void **state)
{
    struct session_set *set = set_up();
    char id[SESSION_ID_CHARS + 1];
    struct session *session;

    (void)state;
    open_session(set, "t", "u", "ann", "pw", id);
    session = session_find(set, id, "t", "u", NOW);
    assert_int_equal(session_enter(session, "a", NOW, NULL), SESSION_PROBE);
    session_probed(session, "a", false, NOW);
    assert_int_equal(session_enter(session, "a", NOW, NULL), SESSION_PROBE);
    session_probed(session, "a", true, NOW);
    assert_int_equal(session_enter(session, "a", NOW + SESSION_REMEMBER_S - 1, NULL),
                     SESSION_ALLOWED);
    assert_int_equal(session_enter(session, "a", NOW + SESSION_REMEMBER_S, NULL), SESSION_PROBE);
    assert_int_equal(session_enter(session, "a", NOW - 1, NULL), SESSION_PROBE);
    assert_int_equal(session_enter(session, "b", NOW, NULL), SESSION_PROBE);
    session_unref(session);
    session_set_free(set);
}

static void session_probes_beyond_the_memory_forget_the_oldest(void **state)
{
    struct session_set *set = set_up();
    char id[SESSION_ID_CHARS + 1];
    char name[8] = "r00";
    struct session *session;

    (void)state;
    open_session(set, "t", "u", "ann", "pw", id);
    session = session_find(set, id, "t", "u", NOW);
    for (int i = 0; i <= SESSION_MAX_PROBED; i++) {
        name[1] = (char)('0' + i / 10);
        name[2] = (char)('0' + i % 10);
        session_probed(session, name, true, NOW + i);
    }
    assert_int_equal(session_enter(session, "r00", NOW + SESSION_MAX_PROBED, NULL), SESSION_PROBE);
    assert_int_equal(session_enter(session, "r01", NOW + SESSION_MAX_PROBED, NULL),
                     SESSION_ALLOWED);
    assert_int_equal(session_enter(session, name, NOW + SESSION_MAX_PROBED, NULL), SESSION_ALLOWED);
    session_unref(session);
    session_set_free(set);
}

static void session_idle_is_forgotten(void **state)
{
    struct session_set *set = set_up();
    char id[SESSION_ID_CHARS + 1];
    char other[SESSION_ID_CHARS + 1];
    const struct session_credential later = {"t", "u", "bob", "pw"};
    struct gh_error error = {0};

    (void)state;
    open_session(set, "t", "u", "ann", "pw", id);
    assert_true(session_open(set, &later, NOW + SESSION_IDLE_S, other, &error));
    assert_null(session_find(set, id, "t", "u", NOW + SESSION_IDLE_S));
    session_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_is_one_per_credential),
        cmocka_unit_test(session_of_another_tenant_or_upstream_is_not_found),
        cmocka_unit_test(session_probe_is_remembered_for_its_repository_and_time),
        cmocka_unit_test(session_probes_beyond_the_memory_forget_the_oldest),
        cmocka_unit_test(session_idle_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
