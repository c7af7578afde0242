/* Shared transfers: real workers, a real store, a fake registry that breaks in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cache/blob_store.h"
#include "cache/store.h"
#include "proxy/fill.h"
#include "proxy/helper.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"
#include "tests/support/fake_upstream.h"

#define BLOB_BYTES (3u * 1024 * 1024 + 17)
#define WORKERS 2
#define MAX_READERS 64

struct scene {
    char folder[64];
    struct store *store;
    struct blob_store *blobs;
    struct helper_pool *helpers;
    struct fill_set *fills;
    struct worker *workers[WORKERS];
    struct upstream_client *clients[WORKERS];
    struct fill_worker *fill_workers[WORKERS];
    struct upstream *upstream;
    struct fake_upstream *server;
    uint8_t *blob;
    struct digest digest;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int step; /* what the fake registry counts */
};

struct probe {
    struct worker_mail mail;
    struct scene *scene;
    unsigned worker;
    struct fill_ask ask;
    struct fill_reader *reader;
    bool is_leaver;
    /* under the scene's lock */
    enum fill_answer answer;
    bool is_over;
    bool is_left;
    bool was_byte_early; /* the last byte was released before the hash had agreed */
    struct fill_view last;
    bool is_content_right;
};

static void client_stop(void *client)
{
    upstream_client_free(client);
}

static void scene_start(struct scene *scene, fake_answer_fn answer)
{
    struct gh_error err = {0};
    struct store_config store_config = {.map_bytes = 64u * 1024 * 1024};
    struct blob_store_config blob_config = {.max_bytes = 1u << 30};
    struct upstream_config config = {.name = "registry.test", .retry_base_ms = 5};

    memset(scene, 0, sizeof(*scene));
    (void)snprintf(scene->folder, sizeof(scene->folder), "/tmp/gh-fill-XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    store_config.path = scene->folder;
    assert_true(store_open(&store_config, &scene->store, &err));
    assert_true(blob_store_new(scene->store, &blob_config, &scene->blobs, &err));
    assert_true(helper_pool_new(2, &scene->helpers, &err));
    assert_true(fill_set_new(scene->blobs, scene->helpers, &scene->fills, &err));
    (void)pthread_mutex_init(&scene->lock, NULL);
    (void)pthread_cond_init(&scene->changed, NULL);
    scene->server = fake_upstream_start(answer, scene);
    config.url = fake_upstream_url(scene->server, "");
    assert_true(upstream_new(&config, &scene->upstream, &err));
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker_member member = {.on_stop = client_stop};

        assert_true(worker_new(i, &scene->workers[i], &err));
        assert_true(
            upstream_client_new(worker_base(scene->workers[i]), NULL, &scene->clients[i], &err));
        assert_true(fill_worker_new(scene->fills, scene->workers[i], scene->clients[i],
                                    &scene->fill_workers[i], &err));
        member.self = scene->clients[i];
        worker_attach(scene->workers[i], WORKER_SLOT_UPSTREAM, &member);
        member =
            (struct worker_member){.self = scene->fill_workers[i], .on_stop = fill_worker_free};
        worker_attach(scene->workers[i], WORKER_SLOT_FILL, &member);
        assert_true(worker_start(scene->workers[i], &err));
    }
    scene->blob = malloc(BLOB_BYTES);
    for (size_t i = 0; i < BLOB_BYTES; i++) {
        scene->blob[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    assert_true(
        digest_compute(DIGEST_SHA256, bytes_make(scene->blob, BLOB_BYTES), &scene->digest, &err));
}

static int scene_remove(const char *path, const struct stat *info, int kind, struct FTW *ftw)
{
    return remove(path);
}

static void scene_stop(struct scene *scene)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_free(scene->workers[i]);
    }
    helper_pool_free(scene->helpers);
    fill_set_free(scene->fills);
    blob_store_free(scene->blobs);
    store_close(scene->store);
    fake_upstream_stop(scene->server);
    upstream_unref(scene->upstream);
    free(scene->blob);
    (void)nftw(scene->folder, scene_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- readers --- */

static void probe_check_content(struct probe *probe)
{
    struct scene *scene = probe->scene;
    size_t len = (size_t)probe->last.available;
    uint8_t *data = malloc(len + 1);

    probe->is_content_right = pread(probe->last.fd, data, len + 1, 0) == (ssize_t)len &&
                              memcmp(data, scene->blob, len) == 0;
    free(data);
}

static void probe_on_change(void *ctx)
{
    struct probe *probe = ctx;
    struct fill_view view;

    if (probe->reader == NULL) {
        return;
    }
    fill_view(probe->reader, &view);
    (void)pthread_mutex_lock(&probe->scene->lock);
    probe->last = view;
    if (view.state == FILL_RUNNING && view.available >= BLOB_BYTES) {
        probe->was_byte_early = true;
    }
    if (view.state == FILL_PUBLISHED || view.state == FILL_FAILED || probe->is_leaver) {
        if (view.state == FILL_PUBLISHED) {
            probe_check_content(probe);
        }
        fill_leave(GH_TAKE(probe->reader));
        probe->is_over = true;
        (void)pthread_cond_broadcast(&probe->scene->changed);
    }
    (void)pthread_mutex_unlock(&probe->scene->lock);
}

static void probe_run(struct worker_mail *mail, struct worker *worker)
{
    struct probe *probe = (struct probe *)mail;
    struct blob_file *file = NULL;
    struct gh_error err = {0};
    enum fill_answer answer = fill_join(probe->scene->fill_workers[probe->worker], &probe->ask,
                                        probe_on_change, probe, &probe->reader, &file, &err);

    (void)pthread_mutex_lock(&probe->scene->lock);
    probe->answer = answer;
    if (answer == FILL_CACHED) {
        blob_file_unref(probe->scene->blobs, file);
    }
    if (answer != FILL_JOINED) {
        probe->is_over = true;
        (void)pthread_cond_broadcast(&probe->scene->changed);
    }
    (void)pthread_mutex_unlock(&probe->scene->lock);
}

static void probe_send(struct probe *probe, struct scene *scene, unsigned worker)
{
    memset(probe, 0, sizeof(*probe));
    probe->mail.run = probe_run;
    probe->scene = scene;
    probe->worker = worker;
    probe->ask = (struct fill_ask){.scope = "default/registry.test",
                                   .digest = scene->digest,
                                   .size = -1,
                                   .upstream = scene->upstream,
                                   .repository = "acme/app"};
}

static void probe_wait(struct probe *probe)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    (void)pthread_mutex_lock(&probe->scene->lock);
    while (!probe->is_over) {
        if (pthread_cond_timedwait(&probe->scene->changed, &probe->scene->lock, &until) != 0) {
            (void)pthread_mutex_unlock(&probe->scene->lock);
            fail_msg("a reader waits for ever, state %d", (int)probe->last.state);
        }
    }
    (void)pthread_mutex_unlock(&probe->scene->lock);
}

static void scene_read(struct scene *scene, struct probe *probe)
{
    probe_send(probe, scene, 0);
    worker_post(scene->workers[0], &probe->mail);
    probe_wait(probe);
}

static void scene_wait_idle(struct scene *scene)
{
    for (int i = 0; i < 1000 && fill_set_count(scene->fills) > 0; i++) {
        (void)usleep(5000);
    }
    assert_int_equal(fill_set_count(scene->fills), 0);
}

/* --- the registry --- */

static bool answer_part(struct fake_call *call, const struct scene *scene, size_t from, size_t to)
{
    char head[256];
    int len = snprintf(head, sizeof(head),
                       "HTTP/1.1 206 Partial\r\nContent-Length: %zu\r\n"
                       "Content-Range: bytes %zu-%zu/%u\r\n\r\n",
                       to - from, from, to - 1, BLOB_BYTES);

    return fake_send(call, head, (size_t)len) && fake_send(call, scene->blob + from, to - from);
}

static size_t answer_range(const struct fake_call *call)
{
    const char *range = fake_header(call, "Range");

    return range != NULL ? (size_t)strtoull(range + strlen("bytes="), NULL, 10) : 0;
}

static bool answer_blob(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;

    return fake_reply_bytes(call, 200, "", scene->blob, BLOB_BYTES);
}

static void join_many_readers_one_transfer(void **state)
{
    struct scene scene;
    static struct probe probes[MAX_READERS];

    scene_start(&scene, answer_blob);
    for (unsigned i = 0; i < MAX_READERS; i++) {
        probe_send(&probes[i], &scene, i % WORKERS);
        worker_post(scene.workers[i % WORKERS], &probes[i].mail);
    }
    for (unsigned i = 0; i < MAX_READERS; i++) {
        probe_wait(&probes[i]);
        if (probes[i].answer == FILL_JOINED) {
            assert_int_equal(probes[i].last.state, FILL_PUBLISHED);
            assert_true(probes[i].is_content_right);
            assert_false(probes[i].was_byte_early);
        } else {
            assert_int_equal(probes[i].answer, FILL_CACHED);
        }
    }
    assert_int_equal(fake_upstream_calls(scene.server), 1);
    scene_wait_idle(&scene);
    scene_stop(&scene);
}

static bool answer_resets(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;
    size_t from = answer_range(call);
    char head[128];
    int len =
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", BLOB_BYTES);

    if (from == 0) {
        (void)fake_send(call, head, (size_t)len);
        (void)fake_send(call, scene->blob, 1000001);
        (void)usleep(20000); /* a reset discards what the peer has not read yet */
        fake_reset(call);
        return false;
    }
    if (scene->step++ == 0) {
        (void)answer_part(call, scene, from, from); /* nothing new, then closed */
        return false;
    }
    return answer_part(call, scene, from, BLOB_BYTES);
}

static void join_upstream_reset_resumes_by_range(void **state)
{
    struct scene scene;
    struct probe probe;

    scene_start(&scene, answer_resets);
    scene_read(&scene, &probe);
    assert_int_equal(probe.last.state, FILL_PUBLISHED);
    assert_true(probe.is_content_right);
    assert_true(fake_upstream_calls_with(scene.server, "Range: bytes=") >= 1);
    scene_stop(&scene);
}

static bool answer_cuts_then_whole(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;
    char head[128];
    int len =
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", BLOB_BYTES);

    if (scene->step++ == 0) {
        (void)fake_send(call, head, (size_t)len);
        (void)fake_send(call, scene->blob, 1000001);
        return false;
    }
    return answer_blob(ctx, call);
}

static void join_registry_without_range_still_resumes(void **state)
{
    struct scene scene;
    struct probe probe;

    scene_start(&scene, answer_cuts_then_whole);
    scene_read(&scene, &probe);
    assert_int_equal(probe.last.state, FILL_PUBLISHED);
    assert_true(probe.is_content_right);
    scene_stop(&scene);
}

static bool answer_wrong_range(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;

    if (answer_range(call) == 0) {
        return answer_cuts_then_whole(ctx, call);
    }
    return answer_part(call, scene, answer_range(call) + 1, BLOB_BYTES);
}

static void join_resume_of_wrong_range_fails(void **state)
{
    struct scene scene;
    struct probe probe;

    scene_start(&scene, answer_wrong_range);
    scene_read(&scene, &probe);
    assert_int_equal(probe.last.state, FILL_FAILED);
    assert_int_equal(probe.last.error.cause, GH_UPSTREAM_UNAVAILABLE);
    scene_stop(&scene);
}

static bool answer_lies(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;
    uint8_t *copy = malloc(BLOB_BYTES);
    bool is_kept;

    memcpy(copy, scene->blob, BLOB_BYTES);
    copy[BLOB_BYTES / 2] ^= 1;
    is_kept = fake_reply_bytes(call, 200, "", copy, BLOB_BYTES);
    free(copy);
    return is_kept;
}

static void join_wrong_bytes_last_byte_kept(void **state)
{
    struct scene scene;
    struct probe probe;
    struct blob_file *file = NULL;

    scene_start(&scene, answer_lies);
    scene_read(&scene, &probe);
    assert_int_equal(probe.last.state, FILL_FAILED);
    assert_int_equal(probe.last.error.cause, GH_DIGEST_MISMATCH);
    assert_false(probe.was_byte_early);
    assert_true(probe.last.available < BLOB_BYTES);
    assert_int_equal(blob_open(scene.blobs, &scene.digest, 1, &file), BLOB_ABSENT);
    scene_stop(&scene);
}

/* The disk takes a part of the file and no more; hashing is ahead of writing by then, or behind. */
static void join_full_disk_readers_fail(void **state)
{
    const struct rlimit small = {.rlim_cur = 1024 * 1024, .rlim_max = RLIM_INFINITY};
    struct rlimit before;
    struct scene scene;
    struct probe probe;
    struct blob_file *file = NULL;

    scene_start(&scene, answer_blob);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_ptr_not_equal(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    scene_read(&scene, &probe);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(probe.last.state, FILL_FAILED);
    assert_int_equal(probe.last.error.cause, GH_INTERNAL_ERROR);
    assert_true(probe.last.available < BLOB_BYTES);
    scene_wait_idle(&scene);
    assert_int_equal(blob_open(scene.blobs, &scene.digest, 1, &file), BLOB_ABSENT);
    scene_stop(&scene);
}

static bool answer_absent(void *ctx, struct fake_call *call)
{
    return fake_reply(call, 404, "", "{}");
}

static void join_absent_blob_told_apart(void **state)
{
    struct scene scene;
    struct probe probe;

    scene_start(&scene, answer_absent);
    scene_read(&scene, &probe);
    assert_int_equal(probe.last.state, FILL_FAILED);
    assert_int_equal(probe.last.outcome, UPSTREAM_ABSENT);
    assert_int_equal(probe.last.error.cause, GH_MANIFEST_UNKNOWN);
    scene_stop(&scene);
}

static void join_size_differs_from_descriptor_refused(void **state)
{
    struct scene scene;
    struct probe probe;

    scene_start(&scene, answer_blob);
    probe_send(&probe, &scene, 0);
    probe.ask.size = BLOB_BYTES + 1;
    worker_post(scene.workers[0], &probe.mail);
    probe_wait(&probe);
    assert_int_equal(probe.last.state, FILL_FAILED);
    assert_int_equal(probe.last.error.cause, GH_DIGEST_MISMATCH);
    assert_int_equal(probe.last.available, 0);
    scene_stop(&scene);
}

static bool answer_chunked(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    (void)fake_send(call, head, sizeof(head) - 1);
    for (size_t at = 0; at < BLOB_BYTES;) {
        size_t part = GH_MIN((size_t)100000, BLOB_BYTES - at);
        char size[32];
        int len = snprintf(size, sizeof(size), "%zx\r\n", part);

        if (!fake_send(call, size, (size_t)len) || !fake_send(call, scene->blob + at, part) ||
            !fake_send(call, "\r\n", 2)) {
            return false;
        }
        at += part;
    }
    return fake_send(call, "0\r\n\r\n", 5);
}

static void join_unknown_size_published(void **state)
{
    struct scene scene;
    struct probe probe;

    scene_start(&scene, answer_chunked);
    scene_read(&scene, &probe);
    assert_int_equal(probe.last.state, FILL_PUBLISHED);
    assert_int_equal(probe.last.size, BLOB_BYTES);
    assert_true(probe.is_content_right);
    scene_stop(&scene);
}

static bool answer_empty(void *ctx, struct fake_call *call)
{
    return fake_reply(call, 200, "", "");
}

static void join_empty_blob_published(void **state)
{
    struct scene scene;
    struct probe probe;
    struct gh_error err = {0};

    scene_start(&scene, answer_empty);
    assert_true(digest_compute(DIGEST_SHA256, bytes_make("", 0), &scene.digest, &err));
    scene_read(&scene, &probe);
    assert_int_equal(probe.last.state, FILL_PUBLISHED);
    assert_int_equal(probe.last.size, 0);
    scene_stop(&scene);
}

static void leave_last_reader_fill_goes_on(void **state)
{
    struct scene scene;
    struct probe probe;
    struct blob_file *file = NULL;

    scene_start(&scene, answer_blob);
    probe_send(&probe, &scene, 0);
    probe.is_leaver = true;
    worker_post(scene.workers[0], &probe.mail);
    probe_wait(&probe);
    scene_wait_idle(&scene);
    assert_int_equal(blob_open(scene.blobs, &scene.digest, time(NULL), &file), BLOB_READY);
    assert_int_equal(file->size_bytes, BLOB_BYTES);
    blob_file_unref(scene.blobs, file);
    assert_int_equal(fake_upstream_calls(scene.server), 1);
    scene_stop(&scene);
}

static bool answer_slow(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;
    char head[128];
    int len =
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", BLOB_BYTES);

    (void)fake_send(call, head, (size_t)len);
    (void)fake_send(call, scene->blob, 100000);
    while (__atomic_load_n(&scene->step, __ATOMIC_SEQ_CST) == 0) {
        (void)usleep(5000);
    }
    return fake_send(call, scene->blob + 100000, BLOB_BYTES - 100000);
}

static void join_slow_registry_releases_part_blocks(void **state)
{
    struct scene scene;
    struct probe probe;
    uint64_t available = 0;

    scene_start(&scene, answer_slow);
    probe_send(&probe, &scene, 1);
    worker_post(scene.workers[1], &probe.mail);
    for (int i = 0; i < 1000 && available == 0; i++) {
        (void)usleep(5000);
        (void)pthread_mutex_lock(&scene.lock);
        available = probe.last.available;
        (void)pthread_mutex_unlock(&scene.lock);
    }
    assert_true(available > 0 && available < 100000);
    __atomic_store_n(&scene.step, 1, __ATOMIC_SEQ_CST);
    probe_wait(&probe);
    assert_int_equal(probe.last.state, FILL_PUBLISHED);
    scene_stop(&scene);
}

static void worker_free_during_fill_ends_it(void **state)
{
    struct scene scene;
    struct probe probe;

    scene_start(&scene, answer_slow);
    probe_send(&probe, &scene, 1);
    worker_post(scene.workers[1], &probe.mail);
    while (fake_upstream_calls(scene.server) == 0) {
        (void)usleep(5000);
    }
    worker_free(GH_TAKE(scene.workers[1]));
    __atomic_store_n(&scene.step, 1, __ATOMIC_SEQ_CST);
    scene_wait_idle(&scene);
    fill_leave(probe.reader);
    assert_false(probe.is_over);
    scene_stop(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join_many_readers_one_transfer),
        cmocka_unit_test(join_upstream_reset_resumes_by_range),
        cmocka_unit_test(join_registry_without_range_still_resumes),
        cmocka_unit_test(join_resume_of_wrong_range_fails),
        cmocka_unit_test(join_wrong_bytes_last_byte_kept),
        cmocka_unit_test(join_full_disk_readers_fail),
        cmocka_unit_test(join_absent_blob_told_apart),
        cmocka_unit_test(join_size_differs_from_descriptor_refused),
        cmocka_unit_test(join_unknown_size_published),
        cmocka_unit_test(join_empty_blob_published),
        cmocka_unit_test(leave_last_reader_fill_goes_on),
        cmocka_unit_test(join_slow_registry_releases_part_blocks),
        cmocka_unit_test(worker_free_during_fill_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
