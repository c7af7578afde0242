#include "proxy/upstream_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define CLIENT_MAX_CONNECTIONS 256L

/* A socket that curl wants watched. */
struct client_socket {
    struct upstream_client *client;
    struct event *event;
    int what;
};

static pthread_once_t client_once = PTHREAD_ONCE_INIT;
static CURLcode client_global_code;

static void client_init_global(void)
{
    client_global_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void client_socket_action(struct upstream_client *client, curl_socket_t fd, int what)
{
    int running = 0;

    client->turn++;
    (void)curl_multi_socket_action(client->multi, fd, what, &running);
    upstream_client_drain(client);
}

static void client_on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct client_socket *watched = arg;
    int action = ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
                 ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);

    client_socket_action(watched->client, fd, action);
}

static void client_on_timer(evutil_socket_t fd, short what, void *arg)
{
    client_socket_action(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void client_socket_free(struct client_socket *watched)
{
    if (watched->event != NULL) {
        event_free(watched->event);
    }
    free(watched);
}

/* Curl says what it waits for. Called from within curl: nothing of curl is called from here but
 * curl_multi_assign(). */
static int client_watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct upstream_client *client = arg;
    struct client_socket *watched = socket_arg;
    short events = EV_PERSIST;

    if (what == CURL_POLL_REMOVE) {
        if (watched != NULL) {
            (void)curl_multi_assign(client->multi, fd, NULL);
            client_socket_free(watched);
        }
        return 0;
    }
    if (watched == NULL) {
        watched = calloc(1, sizeof(*watched));
        if (watched == NULL) {
            return -1;
        }
        watched->client = client;
        (void)curl_multi_assign(client->multi, fd, watched);
    }
    if (watched->event != NULL && watched->what == what) {
        return 0;
    }
    if (watched->event != NULL) {
        event_free(watched->event);
    }
    events |= (short)(((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
                      ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));
    watched->what = what;
    watched->event = event_new(client->base, fd, events, client_on_socket, watched);
    if (watched->event == NULL || event_add(watched->event, NULL) != 0) {
        return -1;
    }
    return 0;
}

static int client_set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct upstream_client *client = arg;
    struct timeval wait = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};

    if (timeout_ms < 0) {
        (void)event_del(client->timer);
        return 0;
    }
    /* Also for 0: curl may not be called again from within its own callback. */
    return event_add(client->timer, &wait);
}

void upstream_client_wake(struct upstream_client *client)
{
    uint64_t one = 1;

    if (!atomic_exchange(&client->is_woken, true)) {
        while (write(client->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR) {
        }
    }
}

static void client_on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct upstream_client *client = arg;
    struct upstream_request *request = TAILQ_FIRST(&client->waiting);
    struct upstream_request *last = TAILQ_LAST(&client->waiting, upstream_request_list);
    uint64_t count;

    while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR) {
    }
    atomic_store(&client->is_woken, false);
    while (request != NULL) {
        /* A step may free its own request or put it at the end, but never its neighbours. */
        struct upstream_request *next = TAILQ_NEXT(request, waiting_link);
        bool is_last = request == last;

        upstream_request_step(request);
        request = is_last ? NULL : next;
    }
}

CURL *upstream_client_take_easy(struct upstream_client *client)
{
    if (client->idle_count > 0) {
        return client->idle[--client->idle_count];
    }
    return curl_easy_init();
}

void upstream_client_give_easy(struct upstream_client *client, CURL *easy)
{
    if (client->idle_count == UPSTREAM_MAX_IDLE_EASY) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy); /* forgets options and with them the header lines, not the caches */
    client->idle[client->idle_count++] = easy;
}

uint32_t upstream_client_random(struct upstream_client *client)
{
    /* xorshift: spreads retries, guards nothing */
    client->random_state ^= client->random_state << 13;
    client->random_state ^= client->random_state >> 17;
    client->random_state ^= client->random_state << 5;
    return client->random_state;
}

void upstream_client_drain(struct upstream_client *client)
{
    CURLMsg *message;
    int left = 0;

    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct upstream_request *request = NULL;
        CURLcode code = message->data.result;

        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request) ==
                CURLE_OK) {
            upstream_request_complete(request, code);
        }
    }
}

static bool client_init_multi(struct upstream_client *client)
{
    client->multi = curl_multi_init();
    return client->multi != NULL &&
           curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, client_watch_socket) ==
               CURLM_OK &&
           curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client) == CURLM_OK &&
           curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, client_set_timer) == CURLM_OK &&
           curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client) == CURLM_OK &&
           curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, CLIENT_MAX_CONNECTIONS) ==
               CURLM_OK;
}

bool upstream_client_new(struct event_base *base, struct prom *prom, struct upstream_client **out,
                         struct gh_error *err)
{
    struct upstream_client *client = calloc(1, sizeof(*client));

    (void)pthread_once(&client_once, client_init_global);
    if (client == NULL || client_global_code != CURLE_OK) {
        free(client);
        return gh_fail(err, GH_INTERNAL_ERROR, "libcurl cannot be started");
    }
    client->base = base;
    client->prom = prom;
    TAILQ_INIT(&client->requests);
    TAILQ_INIT(&client->waiting);
    if (getrandom(&client->random_state, sizeof(client->random_state), 0) < 0 ||
        client->random_state == 0) {
        client->random_state = 1;
    }
    client->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    client->timer = evtimer_new(base, client_on_timer, client);
    if (client->wake_fd >= 0) {
        client->wake_event =
            event_new(base, client->wake_fd, EV_READ | EV_PERSIST, client_on_wake, client);
    }
    if (client->wake_event == NULL || client->timer == NULL ||
        event_add(client->wake_event, NULL) != 0 || !client_init_multi(client)) {
        upstream_client_free(client);
        return gh_fail(err, GH_INTERNAL_ERROR, "the upstream client cannot be started");
    }
    *out = client;
    return true;
}

struct event_base *upstream_client_base(const struct upstream_client *client)
{
    return client->base;
}

void upstream_client_free(struct upstream_client *client)
{
    struct upstream_request *request;

    if (client == NULL) {
        return;
    }
    client->is_stopping = true;
    while ((request = TAILQ_FIRST(&client->requests)) != NULL) {
        upstream_request_stop(request);
    }
    for (size_t i = 0; i < client->idle_count; i++) {
        curl_easy_cleanup(client->idle[i]);
    }
    if (client->multi != NULL) {
        (void)curl_multi_cleanup(client->multi);
    }
    if (client->wake_event != NULL) {
        event_free(client->wake_event);
    }
    if (client->timer != NULL) {
        event_free(client->timer);
    }
    if (client->wake_fd >= 0) {
        (void)close(client->wake_fd);
    }
    free(client);
}
