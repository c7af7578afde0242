/*
 * The steps of a search: one request each, and what its answer means.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sjson.h"
#include "proxy/referrers_search.h"
#include "proxy/upstream_redirect.h"

/* Writers that know only configurations' types put this into fallback lists, whatever the artifact
 * is (cosign 2 does, by way of go-containerregistry): it says nothing. */
#define TASK_EMPTY_TYPE "application/vnd.oci.empty.v1+json"
#define TASK_ACCEPT_MANIFEST                                                                       \
    MANIFEST_OCI_IMAGE ", " MANIFEST_OCI_INDEX ", " MANIFEST_DOCKER_IMAGE ","                      \
                       " " MANIFEST_DOCKER_LIST

uint64_t referrers_task_order(size_t place, enum referrers_source source, size_t index)
{
    return (uint64_t)place << 56 | (uint64_t)source << 52 | (uint64_t)(index & 0xfffff) << 20;
}

void referrers_task_free(struct referrers_task *task)
{
    if (task == NULL) {
        return;
    }
    upstream_cancel(task->request);
    referrers_check_leave(task->check);
    free(task->path);
    free(task->label);
    free(task->media_type);
    free(task);
}

static void task_end(struct referrers_task *task)
{
    struct referrers_search *search = task->search;

    TAILQ_REMOVE(&search->running, task, link);
    search->running_count--;
    referrers_task_free(task);
    referrers_search_pump(search);
}

/* --- trouble --- */

/* Not had: the set is incomplete, whatever else is found. */
static void task_trouble(struct referrers_task *task, enum gh_cause cause, const char *text)
{
    struct gh_error error = {0};

    (void)gh_fail(&error, cause, "%s", text);
    gh_error_at(&error, "%s", task->label);
    referrers_search_trouble(task->search, &error);
}

static void task_trouble_of(struct referrers_task *task, const struct upstream_result *result)
{
    enum gh_cause cause = result->outcome == UPSTREAM_DENIED      ? GH_DISCOVERY_AUTH_FAILED
                          : result->outcome == UPSTREAM_TOO_LARGE ? GH_SIZE_LIMIT_EXCEEDED
                                                                  : GH_DISCOVERY_UNAVAILABLE;

    if (task->search->list_outcome == UPSTREAM_OK) {
        task->search->list_outcome = result->outcome;
        task->search->is_list_retryable = result->is_retryable;
    }
    task_trouble(task, cause, result->error.text);
}

/* Read, and bad: a candidate that fails with WHY. */
static void task_broken(struct referrers_task *task, const struct gh_error *why)
{
    struct gh_error error = {0};

    if (task->kind == REFERRERS_TASK_BLOB) {
        struct referrers_blob *blob = &task->search->found->blobs[task->blob];

        blob->state = REFERRERS_BLOB_BROKEN;
        blob->error = *why;
        return;
    }
    if (!referrers_found_add_broken(task->search->found, task->order, task->label, why, &error)) {
        referrers_search_trouble(task->search, &error);
    }
}

/* Have the body that came judged (taken): referrers_task_judged() follows. */
static void task_judge(struct referrers_task *task, struct upstream_result *result)
{
    struct referrers_check *check = referrers_check_new(task);

    if (check == NULL) {
        task_trouble(task, GH_INTERNAL_ERROR, "no memory for a search");
        task_end(task);
        return;
    }
    check->content = result->body;
    result->body = (struct bytes_buf){0};
    check->type = GH_TAKE(result->head.headers[UPSTREAM_CONTENT_TYPE]);
    check->link = GH_TAKE(result->head.headers[UPSTREAM_LINK]);
    referrers_check_start(check, check->content.len);
}

/* --- pages of descriptors --- */

static bool task_is_seen(struct referrers_search *search, const struct digest *digest)
{
    for (size_t i = 0; i < search->seen_count; i++) {
        if (digest_equal(&search->seen[i], digest)) {
            return true;
        }
    }
    search->seen[search->seen_count++] = *digest;
    return false;
}

static bool task_add_manifest(struct referrers_task *task,
                              const struct referrers_descriptor *descriptor, uint64_t order)
{
    struct referrers_search *search = task->search;
    const struct referrers_place *place = &search->places[task->place];
    struct referrers_task *next = NULL;
    char path[REFERRERS_MAX_PATH];
    char label[DIGEST_MAX_TEXT + 32];
    char digest[DIGEST_MAX_TEXT];

    digest_format(&descriptor->digest, digest);
    (void)snprintf(path, sizeof(path), "/v2/%s/manifests/%s", place->repository, digest);
    (void)snprintf(label, sizeof(label), "referrer %s", digest);
    if (!referrers_search_add(search, REFERRERS_TASK_MANIFEST, task->place, order, path, label,
                              &next)) {
        return false;
    }
    next->digest = descriptor->digest;
    next->size = descriptor->size;
    next->media_type =
        strndup((const char *)descriptor->media_type.data, descriptor->media_type.len);
    if (descriptor->artifact_type.len == 0) {
        TAILQ_REMOVE(&search->ready, next, link);
        TAILQ_INSERT_TAIL(&search->later, next, link);
    }
    return next->media_type != NULL;
}

static void task_take_descriptor(struct referrers_task *task, const json_t *entry)
{
    struct referrers_search *search = task->search;
    enum referrers_source source =
        task->kind == REFERRERS_TASK_PAGE ? REFERRERS_FROM_API : REFERRERS_FROM_FALLBACK;
    uint64_t order = referrers_task_order(task->place, source, search->descriptor_count);
    struct referrers_descriptor descriptor;
    struct gh_error why = {0};
    unsigned kinds;

    search->descriptor_count++;
    if (!referrers_page_descriptor(entry, &descriptor, &why)) {
        task->order = order;
        task_broken(task, &why);
        return;
    }
    if (bytes_equal_cstr(descriptor.artifact_type, TASK_EMPTY_TYPE)) {
        descriptor.artifact_type = (struct bytes){0};
    }
    /* The type in the list is a hint: it saves fetching what no requirement can use. */
    kinds = referrers_page_kinds(descriptor.artifact_type);
    if (descriptor.artifact_type.len > 0 && (kinds & search->ask.kinds) == 0) {
        return;
    }
    if (task_is_seen(search, &descriptor.digest)) {
        return;
    }
    if (!task_add_manifest(task, &descriptor, order)) {
        task_trouble(task, GH_INTERNAL_ERROR, "no memory for a search");
    }
}

static void task_take_list(struct referrers_task *task, json_t *list)
{
    struct referrers_search *search = task->search;
    size_t index;
    json_t *entry;

    json_array_foreach (list, index, entry) {
        if (search->descriptor_count == REFERRERS_MAX_DESCRIPTORS) {
            task_trouble(task, GH_COUNT_LIMIT_EXCEEDED,
                         "the registry lists more than 1000 referrers");
            return;
        }
        if (search->listed != NULL) {
            struct referrers_descriptor descriptor;

            search->descriptor_count++;
            if (referrers_page_descriptor(entry, &descriptor, NULL) &&
                !task_is_seen(search, &descriptor.digest)) {
                (void)json_array_append(search->listed, entry);
            }
        } else {
            task_take_descriptor(task, entry);
        }
    }
}

/* The URL under which every page of this list must be. New, free(); NULL when memory is out. */
static char *task_list_prefix(const struct referrers_task *task, struct gh_error *err)
{
    const struct referrers_place *place = &task->search->places[task->place];
    const char *base = upstream_settings(place->upstream)->url;
    size_t len = strlen(base);
    char *prefix = NULL;
    char *normal = NULL;

    while (len > 0 && base[len - 1] == '/') {
        len--;
    }
    if (asprintf(&prefix, "%.*s/v2/%s/referrers/", (int)len, base, place->repository) < 0) {
        return NULL;
    }
    if (!upstream_redirect_resolve(prefix, prefix, &normal, err)) {
        normal = NULL;
    }
    free(prefix);
    return normal;
}

static bool task_next_url(struct referrers_task *task, const char *link, char **url,
                          struct gh_error *err)
{
    char *prefix = task_list_prefix(task, err);
    char *target = NULL;
    char *base = NULL;
    bool is_good = false;
    char digest[DIGEST_MAX_TEXT];

    *url = NULL;
    digest_format(&task->search->ask.subject, digest);
    if (prefix == NULL || !referrers_page_next(link, &target, err)) {
        free(prefix);
        return false;
    }
    if (target == NULL) {
        free(prefix);
        return true;
    }
    if (asprintf(&base, "%s%s", prefix, digest) >= 0) {
        is_good = upstream_redirect_resolve(base, target, url, err) &&
                  strncmp(*url, prefix, strlen(prefix)) == 0;
    }
    free(base);
    free(target);
    free(prefix);
    if (!is_good) {
        free(*url);
        *url = NULL;
        gh_error_clear(err);
        return gh_fail(err, GH_PAGINATION_INVALID,
                       "the registry's next page is not under the same list: %.100s", link);
    }
    return true;
}

static bool task_follow(struct referrers_task *task, const char *link, struct gh_error *err)
{
    struct referrers_search *search = task->search;
    struct referrers_task *next = NULL;
    char *url = NULL;
    bool is_added;

    GH_TRY(task_next_url(task, link, &url, err));
    if (url == NULL) {
        return true;
    }
    for (size_t i = 0; i < search->page_count; i++) {
        if (strcmp(search->pages[i], url) == 0) {
            free(url);
            return gh_fail(err, GH_PAGINATION_INVALID, "the registry's pages go in a circle");
        }
    }
    if (search->page_count == REFERRERS_MAX_PAGES) {
        free(url);
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "the registry's list has more than %d pages",
                       REFERRERS_MAX_PAGES);
    }
    is_added = referrers_search_add(search, REFERRERS_TASK_PAGE, task->place, task->order, url,
                                    task->label, &next);
    search->pages[search->page_count++] = url;
    return is_added || gh_fail(err, GH_INTERNAL_ERROR, "no memory for a search");
}

/* Asks for the fallback tag. */
static void task_fall_back(struct referrers_task *task)
{
    struct referrers_search *search = task->search;
    const struct referrers_place *place = &search->places[task->place];
    struct referrers_task *next = NULL;
    char tag[REFERRERS_PAGE_MAX_TAG + 1];
    char path[REFERRERS_MAX_PATH];
    char label[REFERRERS_PAGE_MAX_TAG + 8];

    referrers_page_fallback_tag(&search->ask.subject, tag);
    (void)snprintf(path, sizeof(path), "/v2/%s/manifests/%s", place->repository, tag);
    (void)snprintf(label, sizeof(label), "tag %s", tag);
    if (!referrers_search_add(search, REFERRERS_TASK_FALLBACK, task->place,
                              referrers_task_order(task->place, REFERRERS_FROM_FALLBACK, 0), path,
                              label, &next)) {
        task_trouble(task, GH_INTERNAL_ERROR, "no memory for a search");
    }
}

static void task_on_page(struct referrers_task *task, struct upstream_result *result)
{
    struct referrers_search *search = task->search;
    const struct upstream_config *config = upstream_settings(search->places[task->place].upstream);

    if (result->outcome == UPSTREAM_ABSENT ||
        (result->head.status == 400 && config->is_referrers_unsupported)) {
        if (config->referrers == UPSTREAM_REFERRERS_AUTO && search->page_count <= 1) {
            task_fall_back(task);
        }
        task_end(task);
        return;
    }
    if (result->outcome != UPSTREAM_OK) {
        task_trouble_of(task, result);
        task_end(task);
        return;
    }
    task_judge(task, result);
}

static void task_judged_page(struct referrers_task *task, struct referrers_check *check)
{
    struct referrers_search *search = task->search;
    struct gh_error error = check->error;

    if (error.cause != GH_CAUSE_NONE) {
        if (search->list_outcome == UPSTREAM_OK) {
            search->list_outcome = UPSTREAM_REJECTED;
        }
        gh_error_at(&error, "%s", task->label);
        referrers_search_trouble(search, &error);
        return;
    }
    task_take_list(task, check->list);
    if (check->link != NULL && !task_follow(task, check->link, &error)) {
        gh_error_at(&error, "%s", task->label);
        referrers_search_trouble(search, &error);
    }
}

static void task_on_fallback(struct referrers_task *task, struct upstream_result *result)
{
    if (result->outcome == UPSTREAM_ABSENT) {
        task_end(task);
    } else if (result->outcome != UPSTREAM_OK) {
        task_trouble_of(task, result);
        task_end(task);
    } else {
        task_judge(task, result);
    }
}

static void task_judged_fallback(struct referrers_task *task, struct referrers_check *check)
{
    if (check->error.cause == GH_CAUSE_NONE) {
        task_take_list(task, check->list);
    } else if (task->search->listed == NULL) {
        /* Anybody who may push can put anything under that tag: no index counts as none, and is
         * said. */
        task_broken(task, &check->error);
    }
}

/* --- manifests and blobs --- */

/* Ask for the blobs that became wanted from FIRST on. */
static bool task_want_blobs(struct referrers_task *task, size_t first)
{
    struct referrers_search *search = task->search;
    const struct referrers_place *place = &search->places[task->place];

    for (size_t i = first; i < search->found->blob_count; i++) {
        struct referrers_task *next = NULL;
        char path[REFERRERS_MAX_PATH];
        char digest[DIGEST_MAX_TEXT];

        digest_format(&search->found->blobs[i].digest, digest);
        (void)snprintf(path, sizeof(path), "/v2/%s/blobs/%s", place->repository, digest);
        if (!referrers_search_add(search, REFERRERS_TASK_BLOB, task->place, task->order, path,
                                  task->label, &next)) {
            return false;
        }
        next->blob = i;
        next->digest = search->found->blobs[i].digest;
        next->size = search->found->blobs[i].size;
    }
    return true;
}

static unsigned task_manifest_kinds(const struct manifest *manifest)
{
    struct bytes type = manifest->artifact_type;

    if (type.len == 0 && manifest->has_config) {
        type = manifest->config.media_type; /* writers before OCI 1.1 */
    }
    return referrers_page_kinds(type);
}

/* MANIFEST is taken. */
static void task_take_manifest(struct referrers_task *task, struct manifest *manifest)
{
    struct referrers_search *search = task->search;
    struct referrers_found *found = search->found;
    struct gh_error error = {0};
    size_t first_blob = found->blob_count;
    unsigned kinds = task->kinds;

    if (task->kind == REFERRERS_TASK_MANIFEST) {
        if (!manifest->has_subject ||
            !digest_equal(&manifest->subject.digest, &search->ask.subject)) {
            (void)gh_fail(&error, GH_REFERRER_SUBJECT_MISMATCH,
                          manifest->has_subject ? "the referrer names another subject"
                                                : "the referrer names no subject");
            manifest_free(manifest);
            task_broken(task, &error);
            return;
        }
        kinds = task_manifest_kinds(manifest) & search->ask.kinds;
    }
    if (kinds == 0) {
        manifest_free(manifest); /* an SBOM, say: no requirement can use it */
        return;
    }
    if (!referrers_found_add(found, manifest, kinds, search->ask.max_blob_bytes, task->order,
                             task->label, &error)) {
        referrers_search_trouble(search, &error);
    }
    if (!task_want_blobs(task, first_blob)) {
        task_trouble(task, GH_INTERNAL_ERROR, "no memory for a search");
    }
}

static bool task_count_bytes(struct referrers_task *task, size_t len)
{
    struct referrers_search *search = task->search;

    search->total_bytes += len;
    if (search->total_bytes > search->ask.max_total_bytes) {
        task_trouble(task, GH_SIZE_LIMIT_EXCEEDED,
                     "the evidence of one image is larger than may be fetched");
        return false;
    }
    return true;
}

/* Something named by a manifest or list that the registry does not have, or too large to be it. */
static bool task_is_broken_answer(struct referrers_task *task, const struct upstream_result *result)
{
    struct gh_error why = {0};

    if (result->outcome == UPSTREAM_ABSENT) {
        (void)gh_fail(&why, GH_SIG_MALFORMED,
                      "the registry does not have the %s that is named there (404)",
                      task->kind == REFERRERS_TASK_BLOB ? "blob" : "manifest");
    } else if (result->outcome == UPSTREAM_TOO_LARGE) {
        (void)gh_fail(&why, GH_DIGEST_MISMATCH, "more bytes came than the %lld announced",
                      (long long)task->size);
    } else {
        return false;
    }
    task_broken(task, &why);
    return true;
}

/* A manifest or blob that a descriptor names, or a cosign tag, which nothing names. */
static void task_on_content(struct referrers_task *task, struct upstream_result *result)
{
    bool is_tag = task->kind == REFERRERS_TASK_TAG;
    struct gh_error error = {0};

    if (is_tag && result->outcome == UPSTREAM_ABSENT) {
        task_end(task);
    } else if (is_tag && result->outcome == UPSTREAM_TOO_LARGE) {
        (void)gh_fail(&error, GH_SIZE_LIMIT_EXCEEDED, "the manifest is larger than %u bytes",
                      REFERRERS_MAX_MANIFEST_BYTES);
        task_broken(task, &error);
        task_end(task);
    } else if (result->outcome != UPSTREAM_OK) {
        if (is_tag || !task_is_broken_answer(task, result)) {
            task_trouble_of(task, result);
        }
        task_end(task);
    } else if (task->kind != REFERRERS_TASK_BLOB && !task_count_bytes(task, result->body.len)) {
        task_end(task);
    } else if (!is_tag && (int64_t)result->body.len != task->size) {
        (void)gh_fail(&error, GH_DIGEST_MISMATCH, "%zu bytes came where %lld were announced",
                      result->body.len, (long long)task->size);
        task_broken(task, &error);
        task_end(task);
    } else {
        task_judge(task, result);
    }
}

static void task_take_blob(struct referrers_task *task, struct bytes_buf *content)
{
    struct referrers_blob *blob = &task->search->found->blobs[task->blob];

    blob->content = *content;
    *content = (struct bytes_buf){0};
    blob->state = REFERRERS_BLOB_HERE;
}

static void task_judged_content(struct referrers_task *task, struct referrers_check *check)
{
    if (check->error.cause == GH_INTERNAL_ERROR) {
        referrers_search_trouble(task->search, &check->error); /* says nothing about the content */
    } else if (check->error.cause != GH_CAUSE_NONE) {
        task_broken(task, &check->error);
    } else if (task->kind == REFERRERS_TASK_BLOB) {
        task_take_blob(task, &check->content);
    } else {
        task->digest = check->digest;
        task_take_manifest(task, GH_TAKE(check->manifest));
    }
}

/* --- asking --- */

static void task_on_answer(void *ctx, struct upstream_result *result)
{
    struct referrers_task *task = ctx;

    task->request = NULL;
    switch (task->kind) {
    case REFERRERS_TASK_PAGE:
        task_on_page(task, result);
        break;
    case REFERRERS_TASK_FALLBACK:
        task_on_fallback(task, result);
        break;
    case REFERRERS_TASK_TAG:
    case REFERRERS_TASK_MANIFEST:
    case REFERRERS_TASK_BLOB:
        task_on_content(task, result);
        break;
    }
}

static size_t task_body_limit(const struct referrers_task *task)
{
    switch (task->kind) {
    case REFERRERS_TASK_PAGE:
    case REFERRERS_TASK_FALLBACK:
        return REFERRERS_MAX_PAGE_BYTES;
    case REFERRERS_TASK_TAG:
        return REFERRERS_MAX_MANIFEST_BYTES;
    case REFERRERS_TASK_MANIFEST:
    case REFERRERS_TASK_BLOB:
        break;
    }
    return (size_t)GH_MAX(task->size, 0);
}

/* What can be refused before it is asked for. True when the task is done. */
static bool task_refuse(struct referrers_task *task)
{
    struct gh_error why = {0};

    if (task->kind == REFERRERS_TASK_MANIFEST &&
        task->size > (int64_t)REFERRERS_MAX_MANIFEST_BYTES) {
        (void)gh_fail(&why, GH_SIZE_LIMIT_EXCEEDED, "a manifest of %lld bytes, the limit is %u",
                      (long long)task->size, REFERRERS_MAX_MANIFEST_BYTES);
        task_broken(task, &why);
        return true;
    }
    /* Counted before it is asked for: parallel requests must not pass the total together. */
    return task->kind == REFERRERS_TASK_BLOB && !task_count_bytes(task, (size_t)task->size);
}

static void task_ask(struct referrers_task *task)
{
    struct referrers_search *search = task->search;
    const struct referrers_place *place = &search->places[task->place];
    int64_t left_ms = search->deadline_ms - upstream_now_ms();
    struct upstream_ask ask = {.upstream = place->upstream,
                               .path = task->path,
                               .repository = place->repository,
                               .body_limit = task_body_limit(task),
                               .timeout_ms = (unsigned)GH_MAX(left_ms, 1)};

    if (task_refuse(task)) {
        task_end(task);
        return;
    }
    switch (task->kind) {
    case REFERRERS_TASK_PAGE:
        ask.accept = MANIFEST_OCI_INDEX;
        break;
    case REFERRERS_TASK_BLOB:
        break;
    case REFERRERS_TASK_FALLBACK:
    case REFERRERS_TASK_TAG:
    case REFERRERS_TASK_MANIFEST:
        ask.accept = TASK_ACCEPT_MANIFEST;
        break;
    }
    task->request = upstream_fetch(search->client, &ask, task_on_answer, task);
    if (task->request == NULL) {
        task_trouble(task, GH_INTERNAL_ERROR, "no memory for a search");
        task_end(task);
    }
}

/* Content that may be stored already, named by its digest. True: referrers_task_judged() follows,
 * or has followed. */
static bool task_look_up(struct referrers_task *task)
{
    bool is_named = task->kind == REFERRERS_TASK_BLOB || task->kind == REFERRERS_TASK_MANIFEST;
    struct referrers_check *check;

    if (task->search->ask.lookup == NULL || !is_named) {
        return false;
    }
    check = referrers_check_new(task);
    if (check == NULL) {
        return false;
    }
    check->is_lookup = true;
    check->type = task->media_type != NULL ? strdup(task->media_type) : NULL;
    referrers_check_start(check, (size_t)GH_MAX(task->size, 0));
    return true;
}

void referrers_task_start(struct referrers_task *task)
{
    if (!task_look_up(task)) {
        task_ask(task);
    }
}

void referrers_task_judged(struct referrers_task *task, struct referrers_check *check)
{
    if (check->is_lookup && !check->is_here) {
        task_ask(task);
        return;
    }
    switch (task->kind) {
    case REFERRERS_TASK_PAGE:
        task_judged_page(task, check);
        break;
    case REFERRERS_TASK_FALLBACK:
        task_judged_fallback(task, check);
        break;
    case REFERRERS_TASK_BLOB:
        if (check->is_lookup && !task_count_bytes(task, check->content.len)) {
            break;
        }
        task_judged_content(task, check);
        break;
    case REFERRERS_TASK_TAG:
    case REFERRERS_TASK_MANIFEST:
        task_judged_content(task, check);
        break;
    }
    task_end(task);
}
