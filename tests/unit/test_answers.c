#include "proxy/answers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/verdict_cache.h"
#include "proxy/gateway.h"
#include "proxy/verdicts.h"
#include "tests/support/notation_maker.h"
#include "tests/support/store_fixture.h"

#define INTERVAL 600
#define KEY BYTES_LITERAL("key")

/* A gateway of stores alone, and one question with two answers to it. */
struct scene {
    struct fixture fixture;
    struct gateway gateway;
    struct answers *answers;
    struct maker_cert root;
    struct maker_cert leaf;
    struct bytes_buf good;    /* for an hour */
    struct bytes_buf revoked; /* likewise */
    struct bytes_buf brief;   /* for a minute */
    struct bytes_buf old;
    struct evidence_want question;
};

static int scene_setup(void **state)
{
    static const struct maker_profile root = MAKER_ROOT;
    static const struct maker_profile leaf = MAKER_LEAF;
    static const struct verdict_cache_config config = {0};
    struct scene *scene = calloc(1, sizeof(*scene));
    struct verdict_cache_config verdicts = config;

    verdicts.hooks = verdicts_hooks;
    assert_true(scratch_make(&scene->fixture.scratch));
    fixture_open(&scene->fixture);
    scene->gateway.store = scene->fixture.store;
    assert_true(verdict_cache_new(scene->gateway.store, &verdicts, &scene->gateway.verdicts, NULL));
    assert_true(answers_new(&scene->gateway, &scene->answers, NULL));
    maker_issue(NULL, &root, &scene->root);
    maker_issue(&scene->root, &leaf, &scene->leaf);
    scene->good = maker_ocsp(&scene->root, &scene->root, &scene->leaf, MAKER_GOOD, -60, 3600);
    scene->revoked = maker_ocsp(&scene->root, &scene->root, &scene->leaf, MAKER_REVOKED, -60, 3600);
    scene->brief = maker_ocsp(&scene->root, &scene->root, &scene->leaf, MAKER_GOOD, -60, 60);
    scene->old = maker_ocsp(&scene->root, &scene->root, &scene->leaf, MAKER_GOOD, -60, -1);
    scene->question.kind = EVIDENCE_WANT_OCSP;
    scene->question.url = strdup("http://ocsp.test/");
    scene->question.limit_bytes = 65536;
    assert_true(bytes_dup(bytes_of("question"), &scene->question.body, NULL));
    *state = scene;
    return 0;
}

static int scene_teardown(void **state)
{
    struct scene *scene = *state;

    answers_free(scene->answers);
    verdict_cache_free(scene->gateway.verdicts);
    store_close(scene->fixture.store);
    scratch_remove(&scene->fixture.scratch);
    maker_done(&scene->leaf);
    maker_done(&scene->root);
    bytes_buf_done(&scene->good);
    bytes_buf_done(&scene->revoked);
    bytes_buf_done(&scene->brief);
    bytes_buf_done(&scene->old);
    bytes_buf_done(&scene->question.body);
    free(scene->question.url);
    free(scene);
    return 0;
}

static void keep(struct scene *scene, const struct bytes_buf *answer, int64_t now)
{
    assert_true(answers_keep(scene->answers, &scene->question, bytes_view(answer), INTERVAL, now));
}

/* What is given at NOW is ANSWER; NULL: nothing. */
static void assert_given(struct scene *scene, const struct bytes_buf *answer, bool is_due_too,
                         int64_t now)
{
    struct bytes_buf out = {0};

    assert_int_equal(answers_get(scene->answers, &scene->question, is_due_too, now, &out),
                     answer != NULL);
    if (answer != NULL) {
        assert_true(bytes_equal(bytes_view(&out), bytes_view(answer)));
    }
    bytes_buf_done(&out);
}

/* A verdict that rests on the answer. */
static void put_verdict(struct scene *scene)
{
    struct verdict_cache_rest rest = {.kind = EVIDENCE_REST_ANSWER};
    struct verdict_cache_entry entry = {.key = KEY,
                                        .value = BYTES_LITERAL("verdict"),
                                        .until_unix_s = MAKER_NOW + 86400,
                                        .rests = &rest,
                                        .rest_count = 1,
                                        .is_stored = true};
    struct verdict *verdict = verdict_new();
    struct digest name;

    assert_true(evidence_question_name(scene->question.kind, scene->question.url,
                                       bytes_view(&scene->question.body), &name, NULL));
    memcpy(rest.id, name.value, sizeof(rest.id));
    assert_non_null(verdict);
    assert_true(verdict_cache_put(scene->gateway.verdicts, &entry, verdict, MAKER_NOW, NULL));
    verdict_unref(verdict);
}

static bool has_verdict(struct scene *scene)
{
    void *object = NULL;

    if (verdict_cache_get(scene->gateway.verdicts, KEY, MAKER_NOW, NULL, &object) ==
        VERDICT_CACHE_MISS) {
        return false;
    }
    verdict_unref(object);
    return true;
}

static void answers_get_kept_given_until_due(void **state)
{
    struct scene *scene = *state;

    assert_given(scene, NULL, true, MAKER_NOW);
    keep(scene, &scene->good, MAKER_NOW);
    assert_given(scene, &scene->good, false, MAKER_NOW + INTERVAL - 1);
    assert_given(scene, NULL, false, MAKER_NOW + INTERVAL);
    assert_given(scene, &scene->good, true, MAKER_NOW + INTERVAL);
    assert_given(scene, NULL, true, MAKER_NOW + 3600); /* its own word */
    scene->question.limit_bytes = 1;
    assert_given(scene, NULL, false, MAKER_NOW);
}

static void answers_keep_ends_soon_due_at_half(void **state)
{
    struct scene *scene = *state;

    keep(scene, &scene->brief, MAKER_NOW);
    assert_given(scene, &scene->brief, false, MAKER_NOW + 29);
    assert_given(scene, NULL, false, MAKER_NOW + 30);
    assert_given(scene, &scene->brief, true, MAKER_NOW + 59);
    assert_given(scene, NULL, true, MAKER_NOW + 60);
}

static void answers_keep_another_answer_ends_verdicts(void **state)
{
    struct scene *scene = *state;

    keep(scene, &scene->good, MAKER_NOW);
    put_verdict(scene);
    keep(scene, &scene->good, MAKER_NOW + 1);
    assert_true(has_verdict(scene));
    keep(scene, &scene->revoked, MAKER_NOW + 2);
    assert_false(has_verdict(scene));
    assert_given(scene, &scene->revoked, false, MAKER_NOW + 3);
}

/* Whoever can put garbage in the place of an answer must not make it forgotten. */
static void answers_keep_useless_answer_dropped(void **state)
{
    struct scene *scene = *state;
    struct bytes_buf garbage = {0};

    keep(scene, &scene->good, MAKER_NOW);
    put_verdict(scene);
    assert_true(bytes_dup(bytes_of("<html>"), &garbage, NULL));
    keep(scene, &garbage, MAKER_NOW + 1);
    keep(scene, &scene->old, MAKER_NOW + 1);
    assert_true(has_verdict(scene));
    assert_given(scene, &scene->good, false, MAKER_NOW + 2);
    bytes_buf_done(&garbage);
}

/* Yesterday's answer, played back by who stands between: as well signed, but older. */
static void answers_keep_older_answer_refused(void **state)
{
    struct scene *scene = *state;
    struct bytes_buf older =
        maker_ocsp(&scene->root, &scene->root, &scene->leaf, MAKER_GOOD, -600, 3600);

    keep(scene, &scene->revoked, MAKER_NOW);
    put_verdict(scene);
    assert_false(answers_keep(scene->answers, &scene->question, bytes_view(&older), INTERVAL,
                              MAKER_NOW + 500));
    assert_given(scene, &scene->revoked, false, MAKER_NOW + 500 + INTERVAL - 1);
    assert_true(has_verdict(scene));
    bytes_buf_done(&older);
}

static void answers_defer_asked_again_soon(void **state)
{
    struct scene *scene = *state;

    answers_defer(scene->answers, &scene->question, MAKER_NOW); /* nothing is kept */
    assert_given(scene, NULL, true, MAKER_NOW);
    keep(scene, &scene->good, MAKER_NOW);
    answers_defer(scene->answers, &scene->question, MAKER_NOW + INTERVAL);
    assert_given(scene, &scene->good, false, MAKER_NOW + INTERVAL + ANSWERS_RETRY_S - 1);
    assert_given(scene, NULL, false, MAKER_NOW + INTERVAL + ANSWERS_RETRY_S);
}

static void answers_are_kept_other_answer_told(void **state)
{
    struct scene *scene = *state;
    struct evidence_answer used[2] = {{.kind = EVIDENCE_WANT_OCSP,
                                       .url = scene->question.url,
                                       .body = bytes_view(&scene->question.body),
                                       .answer = bytes_view(&scene->good)},
                                      {.kind = EVIDENCE_WANT_CRL, .url = "http://down.test/"}};
    struct evidence_answers all = {used, 2};

    (void)gh_fail(&used[1].failure, GH_REVOCATION_UNAVAILABLE, "down"); /* nothing to keep */
    assert_false(answers_are_kept(scene->answers, &all));
    keep(scene, &scene->good, MAKER_NOW);
    assert_true(answers_are_kept(scene->answers, &all));
    keep(scene, &scene->revoked, MAKER_NOW);
    assert_false(answers_are_kept(scene->answers, &all));
}

/* A store that another process writes is only read. */
static void answers_keep_stored_only_nothing_changed(void **state)
{
    struct scene *scene = *state;

    scene->gateway.is_stored_only = true;
    keep(scene, &scene->good, MAKER_NOW);
    assert_given(scene, NULL, true, MAKER_NOW);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(answers_get_kept_given_until_due),
        SCENE(answers_keep_ends_soon_due_at_half),
        SCENE(answers_keep_another_answer_ends_verdicts),
        SCENE(answers_keep_useless_answer_dropped),
        SCENE(answers_keep_older_answer_refused),
        SCENE(answers_defer_asked_again_soon),
        SCENE(answers_are_kept_other_answer_told),
        SCENE(answers_keep_stored_only_nothing_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
