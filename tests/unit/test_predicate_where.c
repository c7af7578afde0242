#include "policy/predicate_where.h"

#include "tests/support/predicate_case.h"

/* Condition as "path op operand [op operand]", with ' for "; `any` in front for any: true. */
static enum gh_cause compile(const char *text, struct predicate_where **out)
{
    struct predicate_test tests[PREDICATE_MAX_TESTS + 1];
    struct predicate_condition condition = {.tests = tests};
    struct gh_error err = {0};
    char *copy = strdup(text), *save = NULL, *token;
    bool is_good;
    size_t at;

    for (char *c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    token = strtok_r(copy, " ", &save);
    if (strcmp(token, "any") == 0) {
        condition.is_any = true;
        token = strtok_r(NULL, " ", &save);
    }
    condition.path = strcmp(token, "-") == 0 ? "" : token;
    while ((token = strtok_r(NULL, " ", &save)) != NULL) {
        assert_true(predicate_op_by_name(token, &tests[condition.test_count].op));
        tests[condition.test_count++].operand = bytes_of(strtok_r(NULL, " ", &save));
    }
    is_good = predicate_where_new(&condition, 1, out, &at, &err);
    assert_int_equal(is_good, err.cause == GH_CAUSE_NONE);
    free(copy);
    return err.cause;
}

static enum gh_cause judge(const char *text, const char *predicate)
{
    struct predicate_where *where = NULL;
    struct gh_error err = {0};
    char *copy = strdup(predicate);
    json_t *doc;
    bool is_good;

    for (char *c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    doc = json_loads(copy, JSON_DECODE_ANY, NULL);
    assert_non_null(doc);
    assert_int_equal(compile(text, &where), GH_CAUSE_NONE);
    is_good = predicate_where_judge(where, doc, &err);
    assert_int_equal(is_good, err.cause == GH_CAUSE_NONE);
    predicate_where_free(where);
    json_decref(doc);
    free(copy);
    return err.cause;
}

static void where_judge_table_agrees(void **state)
{
    static const struct {
        const char *condition;
        const char *predicate;
        bool is_met;
    } rows[] = {
        {"/risk in ['low','medium']", "{'risk':'low'}", true},
        {"/risk in ['low','medium']", "{'risk':'high'}", false},
        {"/risk in ['low']", "{}", false},
        {"/risk not_in ['low']", "{'risk':'high'}", true},
        {"/risk not_in ['low']", "{'risk':'low'}", false},
        {"/risk not_in ['low']", "{}", false},
        {"/risk equals 'low'", "{'risk':'low'}", true},
        {"/risk equals 'low'", "{'risk':'lower'}", false},
        {"/risk not_equals 'low'", "{'risk':'high'}", true},
        {"/risk not_equals 'low'", "{}", false},
        /* types are not converted */
        {"/n equals 3", "{'n':3}", true},
        {"/n equals 3", "{'n':'3'}", false},
        {"/n equals '3'", "{'n':3}", false},
        {"/n equals true", "{'n':true}", true},
        {"/n equals true", "{'n':1}", false},
        {"/n equals null", "{'n':null}", true},
        {"/n equals null", "{}", false},
        /* numbers are decimals */
        {"/n equals 1.0", "{'n':1}", true},
        {"/n equals 1e2", "{'n':100}", true},
        {"/n equals 0.1", "{'n':0.1}", true},
        {"/n equals 0.3", "{'n':0.30000000000000004}", false},
        {"/n equals 0.30000000000000001", "{'n':0.3}", false},
        {"/n equals 9007199254740993", "{'n':9007199254740993}", true},
        {"/n equals 9007199254740993", "{'n':9007199254740992}", false},
        {"/n equals 0", "{'n':-0.0}", true},
        {"/n max 0", "{'n':0}", true},
        {"/n max 0", "{'n':1}", false},
        {"/n max 9007199254740992", "{'n':9007199254740993}", false},
        {"/n max 7.5", "{'n':7.50}", true},
        {"/n max -1", "{'n':-2}", true},
        {"/n max -2", "{'n':-1}", false},
        {"/n min 10", "{'n':9.999}", false},
        {"/n min 10", "{'n':10.0}", true},
        {"/n min 0.001", "{'n':0.0001}", false},
        {"/n min 5 max 7", "{'n':6}", true},
        {"/n min 5 max 7", "{'n':8}", false},
        {"/n min 5", "{'n':'9'}", false},
        {"/n in [1,2.50]", "{'n':2.5}", true},
        /* whole matches */
        {"/s matches 'v[0-9]+'", "{'s':'v12'}", true},
        {"/s matches 'v[0-9]+'", "{'s':'v12x'}", false},
        {"/s matches 'v[0-9]+'", "{'s':'xv12'}", false},
        {"/s matches 'a|b'", "{'s':'ab'}", false},
        {"/s matches '.*'", "{'s':7}", false},
        /* deep values */
        {"/d equals {'a':[1,{'b':2.0}],'c':null}", "{'d':{'c':null,'a':[1.0,{'b':2}]}}", true},
        {"/d equals {'a':1}", "{'d':{'a':1,'b':2}}", false},
        {"/d equals [1,2]", "{'d':[2,1]}", false},
        {"/d in [[1],[2]]", "{'d':[2]}", true},
        {"- equals {'a':1}", "{'a':1}", true},
        {"- equals 'text'", "'text'", true},
        /* pointers */
        {"/a~1b/~0c equals 1", "{'a/b':{'~c':1}}", true},
        {"/list/1 equals 'y'", "{'list':['x','y']}", true},
        {"/list/2 equals 'y'", "{'list':['x','y']}", false},
        {"/list/01 equals 'y'", "{'list':['x','y']}", false},
        {"/list/-1 equals 'y'", "{'list':['x','y']}", false},
        {"/a/b equals 1", "{'a':7}", false},
        {"/ equals 1", "{'':1}", true},
        /* every element */
        {"/l/*/s equals 'a'", "{'l':[{'s':'a'},{'s':'a'}]}", true},
        {"/l/*/s equals 'a'", "{'l':[{'s':'a'},{'s':'b'}]}", false},
        {"/l/*/s equals 'a'", "{'l':[{'s':'a'},{}]}", false},
        {"/l/*/s equals 'a'", "{'l':[]}", false},
        {"/l/*/s equals 'a'", "{}", false},
        {"/l/* equals 1", "{'l':{'x':1,'y':1}}", true},
        {"/l/* equals 1", "{'l':{'x':1,'y':2}}", false},
        {"/l/*/m/* equals 1", "{'l':[{'m':[1,1]},{'m':[1]}]}", true},
        {"/l/*/m/* equals 1", "{'l':[{'m':[1,1]},{'m':[]}]}", false},
        {"/l/* equals 1", "{'l':1}", false},
        {"/l/*/s not_equals 'a'", "{'l':[{'s':'b'},{}]}", false},
        /* at least one */
        {"any /l/*/role equals 'security'", "{'l':[{'role':'dev'},{'role':'security'}]}", true},
        {"any /l/*/role equals 'security'", "{'l':[{'role':'dev'},{}]}", false},
        {"any /l/*/role equals 'security'", "{'l':[]}", false},
        {"any /l/*/n min 5 max 7", "{'l':[{'n':1},{'n':9}]}", false},
        {"any /l/*/n min 5 max 7", "{'l':[{'n':1},{'n':6}]}", true},
        /* presence */
        {"/a exists true", "{'a':null}", true},
        {"/a exists true", "{}", false},
        {"/a exists false", "{}", true},
        {"/a exists false", "{'a':1}", false},
        {"/a/b exists false", "{'a':7}", true},
        {"/l/*/x exists false", "{'l':[]}", true},
        {"/l/*/x exists false", "{'l':[{},{}]}", true},
        {"/l/*/x exists false", "{'l':[{},{'x':1}]}", false},
        {"any /l/*/x exists false", "{'l':[{},{'x':1}]}", true},
        {"any /l/*/x exists false", "{'l':[{'x':1}]}", false},
        {"/l/*/x exists true", "{'l':[{'x':1},{}]}", false},
        {"any /l/*/x exists true", "{'l':[{'x':1},{}]}", true},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        enum gh_cause cause = judge(rows[i].condition, rows[i].predicate);

        if (cause != (rows[i].is_met ? GH_CAUSE_NONE : GH_POLICY_DENIED)) {
            print_error("%s on %s\n", rows[i].condition, rows[i].predicate);
        }
        assert_int_equal(cause, rows[i].is_met ? GH_CAUSE_NONE : GH_POLICY_DENIED);
    }
}

static void where_new_faults_refused(void **state)
{
    static const char *const rows[] = {
        "risk equals 1",
        "/a~ equals 1",
        "/a~2 equals 1",
        "/a",
        "/a in 1",
        "/a in []",
        "/a not_in 'x'",
        "/a matches 1",
        "/a matches '('",
        "/a min '1'",
        "/a max true",
        "/a exists 1",
        "/a exists false equals 1",
        "/a equals {",
        "/a equals 1x",
        "/a min 1e9999999",
        "/a equals {'a':1,'a':2}",
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct predicate_where *where = NULL;

        assert_int_equal(compile(rows[i], &where), GH_POLICY_DENIED);
        assert_null(where);
    }
}

static void where_new_none_is_no_condition(void **state)
{
    struct predicate_where *where = (struct predicate_where *)1;
    struct gh_error err = {0};
    size_t at;

    assert_true(predicate_where_new(NULL, 0, &where, &at, &err));
    assert_null(where);
}

static void where_judge_without_predicate_not_met(void **state)
{
    struct predicate_where *where = NULL;
    struct gh_error err = {0};

    assert_int_equal(compile("/a not_equals 1", &where), GH_CAUSE_NONE);
    assert_false(predicate_where_judge(where, NULL, &err));
    assert_int_equal(err.cause, GH_POLICY_DENIED);
    predicate_where_free(where);
}

static void where_judge_elements_past_limit_refused(void **state)
{
    struct predicate_where *where = NULL;
    json_t *list = json_array();
    struct gh_error err = {0};

    assert_int_equal(compile("/* equals 1", &where), GH_CAUSE_NONE);
    for (size_t i = 0; i + 1 < PREDICATE_MAX_ELEMENTS; i++) {
        json_array_append_new(list, json_integer(1));
    }
    assert_true(predicate_where_judge(where, list, &err));
    json_array_append_new(list, json_integer(1));
    assert_false(predicate_where_judge(where, list, &err));
    assert_int_equal(err.cause, GH_COUNT_LIMIT_EXCEEDED);
    predicate_where_free(where);
    json_decref(list);
}

static void where_ops_names_go_both_ways(void **state)
{
    for (int op = PREDICATE_EQUALS; op <= PREDICATE_EXISTS; op++) {
        enum predicate_op found;

        assert_true(predicate_op_by_name(predicate_op_name((enum predicate_op)op), &found));
        assert_int_equal(found, op);
    }
    {
        enum predicate_op found;

        assert_false(predicate_op_by_name("contains", &found));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_judge_table_agrees),
        cmocka_unit_test(where_new_faults_refused),
        cmocka_unit_test(where_new_none_is_no_condition),
        cmocka_unit_test(where_judge_without_predicate_not_met),
        cmocka_unit_test(where_judge_elements_past_limit_refused),
        cmocka_unit_test(where_ops_names_go_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
