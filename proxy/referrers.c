#include "proxy/referrers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/referrers_search.h"

static void search_free(struct referrers_search *search);
static void search_finish(struct referrers_search *search);

void referrers_search_trouble(struct referrers_search *search, const struct gh_error *error)
{
    if (search->incomplete.cause == GH_CAUSE_NONE) {
        search->incomplete = *error;
    }
}

bool referrers_search_add(struct referrers_search *search, enum referrers_task_kind kind,
                          size_t place, uint64_t order, const char *path, const char *label,
                          struct referrers_task **out)
{
    struct referrers_task *task = calloc(1, sizeof(*task));
    const char *where = search->places[place].label;

    if (task == NULL) {
        return false;
    }
    task->search = search;
    task->kind = kind;
    task->place = place;
    task->order = order;
    task->path = strdup(path);
    if (where == NULL || strncmp(label, where, strlen(where)) == 0) {
        task->label = strdup(label);
    } else if (asprintf(&task->label, "%s: %s", where, label) < 0) {
        task->label = NULL;
    }
    if (task->path == NULL || task->label == NULL) {
        referrers_task_free(task);
        return false;
    }
    TAILQ_INSERT_TAIL(&search->ready, task, link);
    *out = task;
    return true;
}

void referrers_search_pump(struct referrers_search *search)
{
    if (search->is_pumping) {
        return; /* a task ended at once: the loop below goes on */
    }
    search->is_pumping = true;
    while (search->running_count < REFERRERS_MAX_PARALLEL) {
        struct referrers_task_list *list =
            TAILQ_EMPTY(&search->ready) ? &search->later : &search->ready;
        struct referrers_task *task = TAILQ_FIRST(list);

        if (task == NULL) {
            break;
        }
        TAILQ_REMOVE(list, task, link);
        TAILQ_INSERT_TAIL(&search->running, task, link);
        search->running_count++;
        referrers_task_start(task);
    }
    search->is_pumping = false;
    if (search->running_count == 0) {
        search_finish(search);
    }
}

/* --- beginning --- */

static bool search_add_list(struct referrers_search *search, size_t place)
{
    const struct referrers_place *where = &search->places[place];
    enum upstream_referrers mode = upstream_settings(where->upstream)->referrers;
    struct referrers_task *task = NULL;
    char digest[DIGEST_MAX_TEXT];
    char tag[REFERRERS_PAGE_MAX_TAG + 1];
    char label[REFERRERS_PAGE_MAX_TAG + 8];
    char path[REFERRERS_MAX_PATH];
    bool is_added = true;

    if (mode != UPSTREAM_REFERRERS_TAG) {
        digest_format(&search->ask.subject, digest);
        (void)snprintf(path, sizeof(path), "/v2/%s/referrers/%s", where->repository, digest);
        is_added = referrers_search_add(search, REFERRERS_TASK_PAGE, place,
                                        referrers_task_order(place, REFERRERS_FROM_API, 0), path,
                                        "referrers list", &task);
    }
    if (is_added && (mode == UPSTREAM_REFERRERS_TAG || mode == UPSTREAM_REFERRERS_BOTH)) {
        referrers_page_fallback_tag(&search->ask.subject, tag);
        (void)snprintf(path, sizeof(path), "/v2/%s/manifests/%s", where->repository, tag);
        (void)snprintf(label, sizeof(label), "tag %s", tag);
        is_added = referrers_search_add(search, REFERRERS_TASK_FALLBACK, place,
                                        referrers_task_order(place, REFERRERS_FROM_FALLBACK, 0),
                                        path, label, &task);
    }
    return is_added;
}

static bool search_add_tag(struct referrers_search *search, size_t place, const char *suffix,
                           enum referrers_source source, enum evidence_kind kind)
{
    struct referrers_task *task = NULL;
    char tag[REFERRERS_PAGE_MAX_TAG + 1];
    char label[REFERRERS_PAGE_MAX_TAG + 8];
    char path[REFERRERS_MAX_PATH];

    if ((search->ask.kinds & REFERRERS_KIND(kind)) == 0 ||
        !referrers_page_cosign_tag(&search->ask.subject, suffix, tag)) {
        return true;
    }
    (void)snprintf(path, sizeof(path), "/v2/%s/manifests/%s", search->places[place].repository,
                   tag);
    (void)snprintf(label, sizeof(label), "tag %s", tag);
    if (!referrers_search_add(search, REFERRERS_TASK_TAG, place,
                              referrers_task_order(place, source, 0), path, label, &task)) {
        return false;
    }
    task->kinds = REFERRERS_KIND(kind);
    return true;
}

static bool search_add_first(struct referrers_search *search)
{
    for (size_t i = 0; i < search->ask.place_count; i++) {
        if (!search_add_list(search, i)) {
            return false;
        }
        if (search->listed == NULL &&
            (!search_add_tag(search, i, ".sig", REFERRERS_FROM_SIG, EVIDENCE_COSIGN_SIGNATURE) ||
             !search_add_tag(search, i, ".att", REFERRERS_FROM_ATT, EVIDENCE_COSIGN_ATTESTATION))) {
            return false;
        }
    }
    return true;
}

static void search_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct referrers_search *search = arg;
    struct gh_error error = {0};
    int64_t left_ms = search->deadline_ms - upstream_now_ms();
    struct timeval wait = {.tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000};

    if (!search->is_started) {
        search->is_started = true;
        if (left_ms > 0) {
            (void)event_add(search->timer, &wait);
        }
        if (!search_add_first(search)) {
            (void)gh_fail(&error, GH_INTERNAL_ERROR, "no memory for a search");
            referrers_search_trouble(search, &error);
        }
        referrers_search_pump(search);
        return;
    }
    (void)gh_fail(&error, GH_TIME_BUDGET_EXCEEDED, "looking for evidence took longer than %u ms",
                  search->ask.timeout_ms);
    referrers_search_trouble(search, &error);
    search->list_outcome = UPSTREAM_UNAVAILABLE;
    search->is_list_retryable = true;
    search_finish(search);
}

static bool search_copy_places(struct referrers_search *search, const struct referrers_ask *ask)
{
    if (ask->place_count == 0 || ask->place_count > REFERRERS_MAX_PLACES) {
        return false;
    }
    search->ask.place_count = 0;
    for (size_t i = 0; i < ask->place_count; i++) {
        struct referrers_place *place = &search->places[i];

        place->upstream = upstream_ref(ask->places[i].upstream);
        place->repository = strdup(ask->places[i].repository);
        place->label = ask->places[i].label != NULL ? strdup(ask->places[i].label) : NULL;
        search->ask.place_count++;
        if (place->repository == NULL || strlen(place->repository) > 512 ||
            (ask->places[i].label != NULL && place->label == NULL)) {
            return false;
        }
    }
    search->ask.places = search->places;
    return true;
}

static struct referrers_search *search_new(struct upstream_client *client,
                                           const struct referrers_ask *ask)
{
    struct referrers_search *search = malloc(sizeof(*search));
    struct timeval now = {0};

    if (search == NULL) {
        return NULL;
    }
    memset(search, 0, offsetof(struct referrers_search, pages));
    search->client = client;
    search->ask = *ask;
    search->list_outcome = UPSTREAM_OK;
    if (search->ask.max_blob_bytes == 0) {
        search->ask.max_blob_bytes = REFERRERS_DEFAULT_BLOB_BYTES;
    }
    if (search->ask.max_total_bytes == 0) {
        search->ask.max_total_bytes = REFERRERS_MAX_TOTAL_BYTES;
    }
    if (search->ask.timeout_ms == 0) {
        search->ask.timeout_ms = REFERRERS_TIMEOUT_MS;
    }
    search->deadline_ms = upstream_now_ms() + search->ask.timeout_ms;
    TAILQ_INIT(&search->ready);
    TAILQ_INIT(&search->later);
    TAILQ_INIT(&search->running);
    search->found = referrers_found_new();
    search->timer = evtimer_new(upstream_client_base(client), search_on_timer, search);
    if (!search_copy_places(search, ask) || search->found == NULL || search->timer == NULL ||
        event_add(search->timer, &now) != 0) {
        search_free(search);
        return NULL;
    }
    return search;
}

struct referrers_search *referrers_find(struct upstream_client *client,
                                        const struct referrers_ask *ask, referrers_done_fn done)
{
    struct referrers_search *search = search_new(client, ask);

    if (search != NULL) {
        search->done = done;
    }
    return search;
}

struct referrers_search *referrers_list(struct upstream_client *client,
                                        const struct referrers_place *place,
                                        const struct digest *subject, const char *artifact_type,
                                        referrers_list_fn done, void *ctx)
{
    struct referrers_ask ask = {.places = place, .place_count = 1, .subject = *subject};
    struct referrers_search *search = search_new(client, &ask);

    if (search == NULL) {
        return NULL;
    }
    search->list_done = done;
    search->list_ctx = ctx;
    search->listed = json_array();
    search->artifact_type = artifact_type != NULL ? strdup(artifact_type) : NULL;
    if (search->listed == NULL || (artifact_type != NULL && search->artifact_type == NULL)) {
        search_free(search);
        return NULL;
    }
    return search;
}

/* --- ending --- */

static void search_free_tasks(struct referrers_task_list *list)
{
    struct referrers_task *task;

    while ((task = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, task, link);
        referrers_task_free(task);
    }
}

static void search_free(struct referrers_search *search)
{
    search_free_tasks(&search->ready);
    search_free_tasks(&search->later);
    search_free_tasks(&search->running);
    for (size_t i = 0; i < search->ask.place_count; i++) {
        upstream_unref(search->places[i].upstream);
        free((void *)(uintptr_t)search->places[i].repository);
        free((void *)(uintptr_t)search->places[i].label);
    }
    for (size_t i = 0; i < search->page_count; i++) {
        free(search->pages[i]);
    }
    if (search->found != NULL) {
        referrers_result_unref(&search->found->open);
    }
    json_decref(search->listed);
    free(search->artifact_type);
    if (search->timer != NULL) {
        event_free(search->timer);
    }
    free(search);
}

/* The answer for a client: what is listed, filtered. */
static bool search_make_index(struct referrers_search *search, struct bytes_buf *out)
{
    json_t *manifests = json_array();
    json_t *index = NULL;
    json_t *entry;
    size_t i;
    char *text = NULL;

    json_array_foreach (search->listed, i, entry) {
        const char *type = json_string_value(json_object_get(entry, "artifactType"));

        if (search->artifact_type == NULL ||
            (type != NULL && strcmp(type, search->artifact_type) == 0)) {
            (void)json_array_append(manifests, entry);
        }
    }
    index = json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", MANIFEST_OCI_INDEX,
                      "manifests", manifests);
    text = index != NULL ? json_dumps(index, JSON_COMPACT) : NULL;
    json_decref(index);
    if (text == NULL) {
        return false;
    }
    *out = (struct bytes_buf){.data = (uint8_t *)text, .len = strlen(text)};
    return true;
}

static void search_finish_list(struct referrers_search *search)
{
    struct referrers_list list = {.outcome = search->list_outcome,
                                  .is_retryable = search->is_list_retryable,
                                  .error = search->incomplete};

    if (list.outcome == UPSTREAM_OK && search->incomplete.cause != GH_CAUSE_NONE) {
        list.outcome = UPSTREAM_REJECTED; /* pages in a circle, too many: a cut list misleads */
    }
    if (list.outcome == UPSTREAM_OK && !search_make_index(search, &list.body)) {
        list.outcome = UPSTREAM_FAILED;
        (void)gh_fail(&list.error, GH_INTERNAL_ERROR, "no memory for a list of referrers");
    }
    search->list_done(search->list_ctx, &list);
    bytes_buf_done(&list.body);
    search_free(search);
}

static void search_finish(struct referrers_search *search)
{
    struct referrers_result *result = NULL;
    struct gh_error error = {0};

    /* What still runs is of no use any more, and may not call back into a finished search. */
    search_free_tasks(&search->running);
    search_free_tasks(&search->ready);
    search_free_tasks(&search->later);
    if (search->list_done != NULL) {
        search_finish_list(search);
        return;
    }
    if (referrers_found_seal(search->found, &error)) {
        search->found->open.set.incomplete = search->incomplete;
        result = &search->found->open;
        search->found = NULL;
    }
    search->done(search->ask.ctx, result);
    search_free(search);
}

void referrers_cancel(struct referrers_search *search)
{
    if (search != NULL) {
        search_free(search);
    }
}
