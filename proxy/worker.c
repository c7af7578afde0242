#include "proxy/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "proxy/thread.h"
#include <event2/event.h>

struct worker {
    struct event_base *base;
    struct event *mailbox_event;
    pthread_t thread;
    int mailbox_fd;
    unsigned index;
    bool is_started;
    struct worker_member members[WORKER_SLOT_COUNT];
    /* Newest first; worker_mail_closed once the worker has ended. Threads: any. */
    _Atomic(struct worker_mail *) mailbox;
    atomic_uint load;       /* Threads: any */
    atomic_bool wants_stop; /* Threads: any */
};

/* Its address marks a closed mailbox; never written. */
static const struct worker_mail worker_mail_closed_mark;

static struct worker_mail *worker_mail_closed(void)
{
    return (struct worker_mail *)(uintptr_t)&worker_mail_closed_mark;
}

uint64_t worker_clock_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void worker_knock(const struct worker *worker)
{
    const uint64_t one = 1;

    /* EAGAIN means the counter is full of knocks already. */
    if (write(worker->mailbox_fd, &one, sizeof(one)) < 0) {
        return;
    }
}

void worker_post(struct worker *worker, struct worker_mail *mail)
{
    struct worker_mail *head = atomic_load_explicit(&worker->mailbox, memory_order_acquire);

    do {
        if (head == worker_mail_closed()) {
            if (mail->drop != NULL) {
                mail->drop(mail);
            }
            return;
        }
        mail->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&worker->mailbox, &head, mail,
                                                    memory_order_acq_rel, memory_order_acquire));
    if (head == NULL) {
        worker_knock(worker);
    }
}

/* Take everything out of the box, oldest first. */
static struct worker_mail *worker_empty_mailbox(struct worker *worker, struct worker_mail *leave)
{
    struct worker_mail *mail =
        atomic_exchange_explicit(&worker->mailbox, leave, memory_order_acq_rel);
    struct worker_mail *first = NULL;

    while (mail != NULL && mail != worker_mail_closed()) {
        struct worker_mail *next = mail->next;

        mail->next = first;
        first = mail;
        mail = next;
    }
    return first;
}

static void worker_on_mail(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    uint64_t knocks;
    struct worker_mail *mail;

    if (read(fd, &knocks, sizeof(knocks)) < 0) {
        knocks = 0; /* nothing to read; the box is looked into all the same */
    }
    mail = worker_empty_mailbox(worker, NULL);
    while (mail != NULL) {
        struct worker_mail *next = mail->next;

        mail->next = NULL;
        mail->run(mail, worker);
        mail = next;
    }
    if (atomic_load_explicit(&worker->wants_stop, memory_order_acquire)) {
        (void)event_base_loopbreak(worker->base);
    }
}

bool worker_new(unsigned index, struct worker **out, struct gh_error *err)
{
    GH_OWN(worker_freep) struct worker *worker = calloc(1, sizeof(*worker));
    struct event_config *config;

    if (worker == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for worker %u", index);
    }
    worker->index = index;
    worker->mailbox_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    config = event_config_new();
    if (config != NULL) {
        /* No lock: only the worker's own thread touches the base; others write to the eventfd. */
        (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        (void)event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
        worker->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (worker->base == NULL || worker->mailbox_fd < 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no event loop for worker %u", index);
    }
    worker->mailbox_event =
        event_new(worker->base, worker->mailbox_fd, EV_READ | EV_PERSIST, worker_on_mail, worker);
    if (worker->mailbox_event == NULL || event_add(worker->mailbox_event, NULL) != 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no mailbox for worker %u", index);
    }
    *out = GH_TAKE(worker);
    return true;
}

void worker_attach(struct worker *worker, enum worker_slot slot, const struct worker_member *member)
{
    worker->members[slot] = *member;
}

static void worker_stop_members(struct worker *worker)
{
    for (size_t i = WORKER_SLOT_COUNT; i-- > 0;) {
        struct worker_member *member = &worker->members[i];

        if (member->on_stop != NULL) {
            void (*on_stop)(void *self) = member->on_stop;

            member->on_stop = NULL;
            on_stop(member->self);
        }
    }
}

static void worker_drop_mail(struct worker *worker)
{
    struct worker_mail *mail = worker_empty_mailbox(worker, worker_mail_closed());

    while (mail != NULL) {
        struct worker_mail *next = mail->next;

        if (mail->drop != NULL) {
            mail->drop(mail);
        }
        mail = next;
    }
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;

    for (size_t i = 0; i < WORKER_SLOT_COUNT; i++) {
        if (worker->members[i].on_start != NULL) {
            worker->members[i].on_start(worker->members[i].self);
        }
    }
    (void)event_base_loop(worker->base, EVLOOP_NO_EXIT_ON_EMPTY);
    worker_stop_members(worker);
    worker_drop_mail(worker); /* last: what members still had posted is freed by its drop */
    return NULL;
}

bool worker_start(struct worker *worker, struct gh_error *err)
{
    char name[16];

    if (!thread_start(&worker->thread, worker_main, worker)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no thread for worker %u", worker->index);
    }
    worker->is_started = true;
    (void)snprintf(name, sizeof(name), "gh-worker-%u", worker->index % 10000);
    (void)pthread_setname_np(worker->thread, name);
    return true;
}

static void worker_drain_run(struct worker_mail *mail, struct worker *worker)
{
    free(mail);
    for (size_t i = 0; i < WORKER_SLOT_COUNT; i++) {
        if (worker->members[i].on_drain != NULL) {
            worker->members[i].on_drain(worker->members[i].self);
        }
    }
}

static void worker_drain_drop(struct worker_mail *mail)
{
    free(mail);
}

void worker_drain(struct worker *worker)
{
    struct worker_mail *mail = calloc(1, sizeof(*mail));

    if (mail == NULL) {
        worker_stop(worker); /* cannot even say it politely */
        return;
    }
    mail->run = worker_drain_run;
    mail->drop = worker_drain_drop;
    worker_post(worker, mail);
}

void worker_stop(struct worker *worker)
{
    atomic_store_explicit(&worker->wants_stop, true, memory_order_release);
    worker_knock(worker);
}

void worker_join(struct worker *worker)
{
    if (worker != NULL && worker->is_started) {
        worker_stop(worker);
        (void)pthread_join(worker->thread, NULL);
        worker->is_started = false;
    }
}

void worker_free(struct worker *worker)
{
    if (worker == NULL) {
        return;
    }
    worker_join(worker);
    worker_stop_members(worker);
    worker_drop_mail(worker); /* last: what members still had posted is freed by its drop */
    if (worker->mailbox_event != NULL) {
        event_free(worker->mailbox_event);
    }
    if (worker->base != NULL) {
        event_base_free(worker->base);
    }
    if (worker->mailbox_fd >= 0) {
        (void)close(worker->mailbox_fd);
    }
    free(worker);
}

struct event_base *worker_base(const struct worker *worker)
{
    return worker->base;
}

unsigned worker_index(const struct worker *worker)
{
    return worker->index;
}

void *worker_member(const struct worker *worker, enum worker_slot slot)
{
    return worker->members[slot].self;
}

unsigned worker_load(const struct worker *worker)
{
    return atomic_load_explicit(&((struct worker *)(uintptr_t)worker)->load, memory_order_relaxed);
}

void worker_load_add(struct worker *worker, int count)
{
    (void)atomic_fetch_add_explicit(&worker->load, (unsigned)count, memory_order_relaxed);
}
