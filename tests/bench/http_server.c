/*
 * The bare server with a trivial handler, for figures of requests per second and memory per idle
 * connection. Usage: http_server ADDRESS [FILE [CERT KEY]]; GET /file sends FILE, everything else a
 * small manifest-like answer. One worker. Prints its address; ends on SIGTERM.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "proxy/listener.h"

struct bench {
    const char *file;
    char content[1024];
};

static void bench_on_request(struct exchange *x)
{
    const struct bench *bench = exchange_role(x);
    struct stat st;
    int fd = -1;

    if (bench->file != NULL && bytes_equal_cstr(http1_head_path(exchange_head(x)), "/file")) {
        fd = open(bench->file, O_RDONLY | O_CLOEXEC);
    }
    if (fd >= 0 && fstat(fd, &st) == 0) {
        exchange_begin(x, 200, st.st_size);
        exchange_put_file(x, fd, 0, (uint64_t)st.st_size, NULL, NULL);
        exchange_end(x);
        return;
    }
    exchange_header(x, "Content-Type", "application/vnd.oci.image.manifest.v1+json");
    exchange_header(x, "Docker-Content-Digest",
                    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    exchange_begin(x, 200, sizeof(bench->content));
    (void)exchange_put(x, bench->content, sizeof(bench->content), NULL, NULL);
    exchange_end(x);
}

static void bench_on_done(struct exchange *x, const struct exchange_record *record)
{
}

static void bench_on_signal(evutil_socket_t fd, short what, void *arg)
{
    (void)event_base_loopbreak(arg);
}

static struct bytes bench_read(const char *path)
{
    static const size_t limit = 65536;
    uint8_t *data = malloc(limit);
    FILE *file = fopen(path, "rb");
    size_t len = data != NULL && file != NULL ? fread(data, 1, limit, file) : 0;

    if (file != NULL) {
        (void)fclose(file);
    }
    return bytes_make(data, len);
}

int main(int argc, char **argv)
{
    static const struct exchange_handler handler = {.on_request = bench_on_request,
                                                    .on_done = bench_on_done};
    struct bench bench = {.file = argc > 2 ? argv[2] : NULL};
    struct rlimit files;
    struct conn_limits limits;
    struct gh_error err = {0};
    struct worker *worker = NULL;
    struct listener *listener = NULL;
    struct tls *tls = NULL;
    struct event_base *base = event_base_new();

    (void)signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    memset(bench.content, 'm', sizeof(bench.content));
    conn_limits_default(&limits);
    if (argc > 4) {
        struct tls_config config = {.certificate = bench_read(argv[3]), .key = bench_read(argv[4])};

        if (!tls_new(&config, &tls, &err)) {
            (void)fprintf(stderr, "%s\n", err.text);
            return 1;
        }
    }
    if (base == NULL || argc < 2 || !worker_new(0, &worker, &err) ||
        !conn_set_new(worker, &limits, &err) || !worker_start(worker, &err)) {
        (void)fprintf(stderr, "usage: http_server ADDRESS [FILE [CERT KEY]] %s\n", err.text);
        return 1;
    }
    struct listener_config config = {.address = argv[1],
                                     .handler = &handler,
                                     .role = &bench,
                                     .tls = tls,
                                     .workers = &worker,
                                     .worker_count = 1};
    if (!listener_new(base, &config, &listener, &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    listener_start(listener);
    (void)printf("%s\n", listener_address(listener));
    (void)fflush(stdout);
    (void)event_add(evsignal_new(base, SIGTERM, bench_on_signal, base), NULL);
    (void)event_base_dispatch(base);
    listener_close(listener);
    worker_free(worker);
    listener_free(listener);
    tls_free(tls);
    return 0;
}
