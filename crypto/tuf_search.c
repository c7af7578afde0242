#include "crypto/tuf_search.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/sjson.h"

void tuf_search_done(struct tuf_search *search)
{
    for (size_t i = 0; i < search->pending_count; i++) {
        free(search->pending[i].name);
    }
    for (size_t i = 0; i < search->visited_count; i++) {
        free(search->visited[i]);
    }
    for (size_t i = 0; i < search->role_count; i++) {
        tuf_metadata_free(search->roles[i]);
    }
    free(search->pending);
    free(search->at.name);
    free(search->path);
    memset(search, 0, sizeof(*search));
}

static bool search_matches(const struct tuf_role *role, struct bytes path, const char *hash)
{
    for (size_t i = 0; i < json_array_size(role->paths); i++) {
        if (tuf_path_match(sjson_string(json_array_get(role->paths, i)), path)) {
            return true;
        }
    }
    for (size_t i = 0; i < json_array_size(role->hash_prefixes); i++) {
        if (bytes_starts_with(bytes_of(hash),
                              sjson_string(json_array_get(role->hash_prefixes, i)))) {
            return true;
        }
    }
    return false;
}

static void search_clear(struct tuf_search *search)
{
    while (search->pending_count > 0) {
        free(search->pending[--search->pending_count].name);
    }
}

static bool search_add(struct tuf_search *search, const struct tuf_metadata *delegator,
                       const struct tuf_role *role, const char *name, struct gh_error *err)
{
    struct tuf_visit *grown =
        reallocarray(search->pending, search->pending_count + 1, sizeof(*search->pending));
    struct tuf_visit visit = {delegator, role, NULL};

    if (grown == NULL || (search->pending = grown, visit.name = strdup(name)) == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    search->pending[search->pending_count++] = visit;
    return true;
}

bool tuf_search_push(struct tuf_search *search, const struct tuf_metadata *delegator,
                     struct gh_error *err)
{
    struct bytes path = bytes_of(search->path);
    char hash[TUF_PATH_HASH_DIGITS + 1];
    size_t end = 0;
    bool is_terminated = false;

    if (delegator->bin_bits > 0) {
        char *name;
        bool is_pushed;

        GH_TRY(tuf_path_bin(path, delegator->bin_prefix, delegator->bin_bits, &name, err));
        is_pushed = search_add(search, delegator, &delegator->bins, name, err);
        free(name);
        return is_pushed;
    }
    GH_TRY(tuf_path_hash(path, hash, err));
    while (end < delegator->role_count && !is_terminated) {
        const struct tuf_role *role = &delegator->roles[end++];

        is_terminated = role->is_terminating && search_matches(role, path, hash);
    }
    if (is_terminated) {
        search_clear(search);
    }
    for (size_t i = end; i > 0; i--) {
        const struct tuf_role *role = &delegator->roles[i - 1];

        if (search_matches(role, path, hash)) {
            GH_TRY(search_add(search, delegator, role, role->name, err));
        }
    }
    return true;
}

static bool search_visited(const struct tuf_search *search, const char *name)
{
    for (size_t i = 0; i < search->visited_count; i++) {
        if (strcmp(search->visited[i], name) == 0) {
            return true;
        }
    }
    return false;
}

bool tuf_search_next(struct tuf_search *search, bool *found, struct gh_error *err)
{
    *found = false;
    while (search->pending_count > 0 && !*found) {
        free(search->at.name);
        search->at = search->pending[--search->pending_count];
        *found = !search_visited(search, search->at.name);
    }
    if (!*found) {
        return true;
    }
    if (search->visited_count == TUF_MAX_VISITED_ROLES) {
        return gh_fail(err, GH_TUF_LIMIT_EXCEEDED,
                       "the search for '%.60s' visits more than %d roles", search->path,
                       TUF_MAX_VISITED_ROLES);
    }
    search->visited[search->visited_count] = strdup(search->at.name);
    if (search->visited[search->visited_count] == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    search->visited_count++;
    return true;
}

void tuf_search_keep(struct tuf_search *search, struct tuf_metadata *role)
{
    search->roles[search->role_count++] = role; /* one per visit at most */
}
