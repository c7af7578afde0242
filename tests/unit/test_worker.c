/* Workers: draining, stopping, and a mailbox under fire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/conn_scene.h"

static void worker_drain_finishes_answers_closes_idle(void **state)
{
    struct fixture f;
    char text[4096];
    int idle;
    int busy;

    fixture_start(&f, NULL, 100);
    idle = client_connect(&f);
    busy = client_connect(&f);
    client_send(busy, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_UNTIL(atomic_load(&f.held) != NULL && open_connections(&f) == 2);
    worker_drain(f.workers[0]);
    worker_drain(f.workers[1]);
    assert_int_equal(client_read(idle, text, sizeof(text), NULL), 0);
    WAIT_UNTIL(open_connections(&f) == 1);
    post(&f, run_answer);
    (void)client_read(busy, text, sizeof(text), NULL);
    assert_non_null(strstr(text, "Connection: close"));
    assert_non_null(strstr(text, "late"));
    WAIT_UNTIL(open_connections(&f) == 0);
    (void)close(idle);
    (void)close(busy);
    fixture_stop(&f);
}

static void worker_stop_tells_held_exchanges(void **state)
{
    struct fixture f;
    int fd;

    fixture_start(&f, NULL, 100);
    fd = client_connect(&f);
    client_send(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_UNTIL(atomic_load(&f.held) != NULL);
    fixture_stop(&f);
    assert_int_equal(outcome_of(&f, EXCHANGE_FAILED), 1);
    (void)close(fd);
}

/* ---- mailbox under fire ---- */

#define SENDERS 3
#define LETTERS 5000

struct letter {
    struct worker_mail mail;
    unsigned sender;
    unsigned number;
    struct office *office;
};

struct office {
    struct worker *worker;
    unsigned next[SENDERS]; /* the worker's own */
    unsigned misordered;
    atomic_uint run;
    atomic_uint dropped;
};

static void letter_run(struct worker_mail *mail, struct worker *worker)
{
    struct letter *letter = (struct letter *)mail;
    struct office *office = letter->office;

    office->misordered += office->next[letter->sender] == letter->number ? 0 : 1;
    office->next[letter->sender] = letter->number + 1;
    (void)atomic_fetch_add(&office->run, 1);
    free(letter);
}

static void letter_drop(struct worker_mail *mail)
{
    struct letter *letter = (struct letter *)mail;

    (void)atomic_fetch_add(&letter->office->dropped, 1);
    free(letter);
}

struct sender {
    struct office *office;
    unsigned number;
};

static void *send_letters(void *arg)
{
    struct sender *sender = arg;

    for (unsigned i = 0; i < LETTERS; i++) {
        struct letter *letter = calloc(1, sizeof(*letter));

        letter->mail.run = letter_run;
        letter->mail.drop = letter_drop;
        letter->sender = sender->number;
        letter->number = i;
        letter->office = sender->office;
        worker_post(sender->office->worker, &letter->mail);
    }
    return NULL;
}

static void worker_post_many_senders_each_in_order(void **state)
{
    struct office office = {0};
    struct gh_error err = {0};
    pthread_t threads[SENDERS];
    struct sender senders[SENDERS];

    assert_true(worker_new(0, &office.worker, &err));
    assert_true(worker_start(office.worker, &err));
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&office, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_letters, &senders[i]), 0);
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    WAIT_UNTIL(atomic_load(&office.run) == SENDERS * LETTERS);
    worker_free(office.worker);
    assert_int_equal(office.misordered, 0);
    assert_int_equal(atomic_load(&office.dropped), 0);
}

static void worker_post_stopping_worker_runs_or_drops_each(void **state)
{
    struct office office = {0};
    struct gh_error err = {0};
    pthread_t thread;
    struct sender sender = {&office, 0};

    assert_true(worker_new(0, &office.worker, &err));
    assert_true(worker_start(office.worker, &err));
    assert_int_equal(pthread_create(&thread, NULL, send_letters, &sender), 0);
    WAIT_UNTIL(atomic_load(&office.run) > 10);
    worker_stop(office.worker);
    (void)pthread_join(thread, NULL);
    worker_free(office.worker);
    assert_int_equal(atomic_load(&office.run) + atomic_load(&office.dropped), LETTERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worker_drain_finishes_answers_closes_idle),
        cmocka_unit_test(worker_stop_tells_held_exchanges),
        cmocka_unit_test(worker_post_many_senders_each_in_order),
        cmocka_unit_test(worker_post_stopping_worker_runs_or_drops_each),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
