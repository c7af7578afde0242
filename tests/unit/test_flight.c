/* Work that several wait for: who gets what, and who leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/gateway_scene.h"

struct fruit {
    struct flight_result base; /* first */
    int *destroyed;
};

static void fruit_destroy(struct flight_result *base)
{
    struct fruit *fruit = (struct fruit *)base;

    (void)__atomic_add_fetch(fruit->destroyed, 1, __ATOMIC_ACQ_REL);
    free(fruit);
}

static struct flight_result *fruit_new(int *destroyed)
{
    struct fruit *fruit = calloc(1, sizeof(*fruit));

    fruit->base.references = 1;
    fruit->base.destroy = fruit_destroy;
    fruit->destroyed = destroyed;
    return &fruit->base;
}

struct waiter {
    struct scene *scene;
    const char *key;
    struct flight_seat *seat;
    struct flight *lead;
    int calls;
    int empty; /* calls without a result */
};

static void waiter_on_result(void *ctx, struct flight_result *result)
{
    struct waiter *waiter = ctx;

    if (result == NULL) {
        (void)__atomic_add_fetch(&waiter->empty, 1, __ATOMIC_ACQ_REL);
    }
    (void)__atomic_add_fetch(&waiter->calls, 1, __ATOMIC_ACQ_REL);
}

static void waiter_join(struct worker *worker, void *arg)
{
    struct waiter *waiter = arg;
    struct gh_error err = {0};

    if (!flight_join(waiter->scene->gateway.flights, bytes_of(waiter->key), worker,
                     waiter_on_result, waiter, &waiter->seat, &waiter->lead, &err)) {
        waiter->seat = NULL;
    }
}

static void waiter_leave(struct worker *worker, void *arg)
{
    struct waiter *waiter = arg;

    flight_leave(waiter->seat);
}

static void nothing(struct worker *worker, void *arg)
{
}

static void flight_join_one_leads_and_all_get_the_result(void **state)
{
    struct scene *scene = *state;
    struct waiter waiters[16];
    int destroyed = 0;

    for (unsigned i = 0; i < GH_COUNT(waiters); i++) {
        waiters[i] = (struct waiter){.scene = scene, .key = "one"};
        scene_run(scene, i % SCENE_WORKERS, waiter_join, &waiters[i]);
        assert_non_null(waiters[i].seat);
        assert_int_equal(waiters[i].lead != NULL, i == 0);
    }
    flight_finish(waiters[0].lead, fruit_new(&destroyed));
    for (unsigned i = 0; i < GH_COUNT(waiters); i++) {
        assert_true(scene_wait(&waiters[i].calls, 1));
        assert_int_equal(waiters[i].empty, 0);
    }
    assert_true(scene_wait(&destroyed, 1));
}

static void flight_leave_is_not_called_and_stops_nothing(void **state)
{
    struct scene *scene = *state;
    struct waiter leader = {.scene = scene, .key = "one"};
    struct waiter other = {.scene = scene, .key = "one"};
    int destroyed = 0;

    scene_run(scene, 0, waiter_join, &leader);
    scene_run(scene, 1, waiter_join, &other);
    scene_run(scene, 0, waiter_leave, &leader);
    flight_finish(leader.lead, fruit_new(&destroyed));
    assert_true(scene_wait(&other.calls, 1));
    assert_true(scene_wait(&destroyed, 1));
    scene_run(scene, 0, nothing, NULL);
    assert_int_equal(__atomic_load_n(&leader.calls, __ATOMIC_ACQUIRE), 0);
}

static void flight_finish_without_result_tells_so(void **state)
{
    struct scene *scene = *state;
    struct waiter waiter = {.scene = scene, .key = "one"};

    scene_run(scene, 0, waiter_join, &waiter);
    flight_finish(waiter.lead, NULL);
    assert_true(scene_wait(&waiter.calls, 1));
    assert_int_equal(waiter.empty, 1);
}

static void flight_join_after_the_end_leads_anew(void **state)
{
    struct scene *scene = *state;
    struct waiter first = {.scene = scene, .key = "one"};
    struct waiter second = {.scene = scene, .key = "one"};
    struct waiter third = {.scene = scene, .key = "other"};
    int destroyed = 0;

    scene_run(scene, 0, waiter_join, &first);
    flight_finish(first.lead, fruit_new(&destroyed));
    scene_run(scene, 0, waiter_join, &second);
    scene_run(scene, 0, waiter_join, &third);
    assert_non_null(second.lead);
    assert_non_null(third.lead);
    flight_finish(second.lead, NULL);
    flight_finish(third.lead, NULL);
    assert_true(scene_wait(&second.calls, 1));
    assert_true(scene_wait(&third.calls, 1));
}

static void flight_finish_after_the_waiters_worker_ended_drops(void **state)
{
    struct scene *scene = *state;
    struct waiter waiter = {.scene = scene, .key = "one"};
    struct waiter other = {.scene = scene, .key = "one"};
    int destroyed = 0;

    scene_run(scene, 1, waiter_join, &waiter);
    scene_run(scene, 0, waiter_join, &other);
    worker_join(scene->gateway.workers[1]);
    flight_finish(waiter.lead, fruit_new(&destroyed));
    assert_true(scene_wait(&other.calls, 1));
    assert_true(scene_wait(&destroyed, 1));
    assert_int_equal(waiter.calls, 0);
}

/* Joining and finishing at once from several threads. */
struct race {
    struct waiter waiters[200];
    int *destroyed;
};

static void race_run(struct worker *worker, void *arg)
{
    struct race *race = arg;

    for (size_t i = 0; i < GH_COUNT(race->waiters); i++) {
        waiter_join(worker, &race->waiters[i]);
        if (race->waiters[i].lead != NULL) {
            flight_finish(race->waiters[i].lead, fruit_new(race->destroyed));
        }
    }
}

static void flight_races_everybody_is_called_once(void **state)
{
    struct scene *scene = *state;
    struct race *races = calloc(SCENE_WORKERS, sizeof(*races));
    struct scene_task tasks[SCENE_WORKERS];
    int destroyed = 0;

    for (unsigned w = 0; w < SCENE_WORKERS; w++) {
        races[w].destroyed = &destroyed;
        for (size_t i = 0; i < GH_COUNT(races[w].waiters); i++) {
            races[w].waiters[i] = (struct waiter){.scene = scene, .key = i % 2 == 0 ? "a" : "b"};
        }
        tasks[w] =
            (struct scene_task){.mail.run = scene_run_mail, .fn = race_run, .arg = &races[w]};
    }
    for (unsigned w = 0; w < SCENE_WORKERS; w++) {
        worker_post(scene->gateway.workers[w], &tasks[w].mail);
    }
    for (unsigned w = 0; w < SCENE_WORKERS; w++) {
        for (size_t i = 0; i < GH_COUNT(races[w].waiters); i++) {
            assert_true(scene_wait(&races[w].waiters[i].calls, 1));
        }
        assert_true(scene_wait(&tasks[w].done, 1));
    }
    for (unsigned w = 0; w < SCENE_WORKERS; w++) {
        scene_run(scene, w, nothing, NULL);
        for (size_t i = 0; i < GH_COUNT(races[w].waiters); i++) {
            assert_int_equal(races[w].waiters[i].calls, 1);
        }
    }
    free(races);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_CASE(flight_join_one_leads_and_all_get_the_result),
        SCENE_CASE(flight_leave_is_not_called_and_stops_nothing),
        SCENE_CASE(flight_finish_without_result_tells_so),
        SCENE_CASE(flight_join_after_the_end_leads_anew),
        SCENE_CASE(flight_finish_after_the_waiters_worker_ended_drops),
        SCENE_CASE(flight_races_everybody_is_called_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
