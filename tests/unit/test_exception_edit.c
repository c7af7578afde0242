#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics/text.h"
#include "policy/exception_edit.h"
#include "tests/support/memory_loader.h"

static const char *images[] = {"ghcr.io/acme/b"};
static const char *policies[] = {"ours"};
static const struct exception_draft draft = {.id = "E2",
                                             .images = {images, 1},
                                             .policies = {policies, 1},
                                             .owner = "bob",
                                             .approved_by = "sec",
                                             .justification = "it's \"x\"",
                                             .created = "2026-11-01",
                                             .expires = "2026-12-01"};

#define DRAFT(indent)                                                                              \
    indent "- id: \"E2\"\n" indent "  images: [\"ghcr.io/acme/b\"]\n" indent                       \
           "  policies: [\"ours\"]\n" indent "  owner: \"bob\"\n" indent                           \
           "  approved_by: \"sec\"\n" indent "  justification: \"it's \\\"x\\\"\"\n" indent        \
           "  created: \"2026-11-01\"\n" indent "  expires: \"2026-12-01\"\n"

static void assert_added(const char *before, const char *after)
{
    struct gh_error err = {0};
    struct text out;

    text_init(&out, 65536);
    if (!exception_edit_add(bytes_of(before), &draft, &out, &err)) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(text_cstr(&out), after);
    text_done(&out);
}

static void exception_edit_add_keeps_the_rest(void **state)
{
    (void)state;
    assert_added(
        "# head\nexceptions: # list\n  - id: E1 # first\n    owner: j\n  # tail\n",
        "# head\nexceptions: # list\n  - id: E1 # first\n    owner: j\n" DRAFT("  ") "  # tail\n");
    assert_added("exceptions:\n- id: E1\n  justification: |\n    a\n    b\n\n# end\n",
                 "exceptions:\n- id: E1\n  justification: |\n    a\n    b\n\n" DRAFT("") "# end\n");
    assert_added("exceptions:\n- {id: E1}", "exceptions:\n- {id: E1}\n" DRAFT(""));
    assert_added("exceptions: []\n", "exceptions: \n" DRAFT("  "));
    assert_added("", "exceptions:\n" DRAFT("  "));
}

static void exception_edit_add_one_line_list_refused(void **state)
{
    struct gh_error err = {0};
    struct text out;

    (void)state;
    text_init(&out, 65536);
    assert_false(exception_edit_add(bytes_of("exceptions: [{id: E1}]\n"), &draft, &out, &err));
    assert_int_equal(err.cause, GH_POLICY_DENIED);
    gh_error_clear(&err);
    assert_false(exception_edit_add(bytes_of("exceptions: [\n"), &draft, &out, &err));
    assert_int_equal(err.cause, GH_MALFORMED_JSON);
    text_done(&out);
}

static void exception_edit_renew_appends(void **state)
{
    static const char *const rows[][2] = {
        {"exceptions:\n- id: E1\n  owner: j # x\n",
         "exceptions:\n- id: E1\n  owner: j # x\n  renewals: [{at: \"a\", by: \"b\", expires: "
         "\"e\"}]\n"},
        {"exceptions:\n- id: E1\n  renewals: [{at: z}] # x\n  owner: j\n",
         "exceptions:\n- id: E1\n  renewals: [{at: z}, {at: \"a\", by: \"b\", expires: \"e\"}] # "
         "x\n  owner: j\n"},
        {"exceptions:\n- id: E1\n  renewals: []\n",
         "exceptions:\n- id: E1\n  renewals: [{at: \"a\", by: \"b\", expires: \"e\"}]\n"},
        {"exceptions:\n- id: E1\n  renewals:\n    - {at: z}\n- id: E3\n",
         "exceptions:\n- id: E1\n  renewals:\n    - {at: z}\n    - {at: \"a\", by: \"b\", expires: "
         "\"e\"}\n- id: E3\n"},
        {"exceptions:\n- {id: E1, owner: j}\n",
         "exceptions:\n- {id: E1, owner: j, renewals: [{at: \"a\", by: \"b\", expires: \"e\"}]}\n"},
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct gh_error err = {0};
        struct text out;

        text_init(&out, 65536);
        assert_true(exception_edit_renew(bytes_of(rows[i][0]), "E1", "a", "b", "e", &out, &err));
        assert_string_equal(text_cstr(&out), rows[i][1]);
        text_done(&out);
    }
}

static void exception_edit_unknown_entry_refused(void **state)
{
    struct gh_error err = {0};
    struct text out;

    (void)state;
    text_init(&out, 65536);
    assert_false(
        exception_edit_renew(bytes_of("exceptions:\n- id: E1\n"), "E9", "a", "b", "e", &out, &err));
    assert_int_equal(err.cause, GH_NAME_UNKNOWN);
    text_done(&out);
}

static void exception_edit_expire_changes_the_last_end(void **state)
{
    struct gh_error err = {0};
    struct text out;

    (void)state;
    text_init(&out, 65536);
    assert_true(
        exception_edit_expire(bytes_of("exceptions:\n- id: E1\n  expires: 2026-12-01 # soon\n"),
                              "E1", "now", &out, &err));
    assert_string_equal(text_cstr(&out), "exceptions:\n- id: E1\n  expires: \"now\" # soon\n");
    text_clear(&out);
    assert_true(exception_edit_expire(bytes_of("exceptions:\n- id: E1\n  expires: x\n  renewals: "
                                               "[{expires: \"\xc3\xa4\", by: y}]\n"),
                                      "E1", "now", &out, &err));
    assert_string_equal(text_cstr(&out), "exceptions:\n- id: E1\n  expires: x\n  renewals: "
                                         "[{expires: \"now\", by: y}]\n");
    text_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exception_edit_add_keeps_the_rest),
        cmocka_unit_test(exception_edit_add_one_line_list_refused),
        cmocka_unit_test(exception_edit_renew_appends),
        cmocka_unit_test(exception_edit_unknown_entry_refused),
        cmocka_unit_test(exception_edit_expire_changes_the_last_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
