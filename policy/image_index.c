/*
 * The index of patterns: a trie over components. Literal children are found in one hash table for
 * the whole trie, so that a lookup costs what the name is long, however many patterns there are.
 */
#include <string.h>

#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/image.h"

#define IMAGE_NONE UINT32_MAX

struct image_terminal {
    uint32_t id;
    uint32_t next;
    struct digest digest; /* DIGEST_NONE: any */
};

struct image_node {
    uint32_t terminals; /* first, or IMAGE_NONE */
    uint32_t globs;     /* first child behind a component with `*` */
    uint32_t next_glob; /* sibling */
    uint32_t globstar;  /* child behind `**` */
    uint32_t parent;
    struct bytes component; /* literal or glob that leads here */
    uint64_t hash;
};

struct image_index {
    struct arena *arena;
    struct image_node *nodes;
    uint32_t node_count, node_room;
    struct image_terminal *terminals;
    uint32_t terminal_count, terminal_room;
    uint32_t *slots;     /* node ids by (parent, component) */
    uint32_t slot_count; /* a power of two */
    uint32_t literal_count;
    unsigned pinned; /* algorithms of the patterns' digests, as bits */
};

struct image_search {
    const struct image_index *index;
    const struct digest *digest;
    struct bytes parts[IMAGE_MAX_COMPONENTS];
    uint64_t hashes[IMAGE_MAX_COMPONENTS];
    size_t part_count;
    uint32_t *out;
    size_t room;
    size_t found;
};

static uint64_t image_hash(struct bytes text)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < text.len; i++) {
        hash = (hash ^ text.data[i]) * 0x100000001b3u;
    }
    return hash;
}

static uint64_t image_mix(uint32_t parent, uint64_t hash)
{
    hash ^= (uint64_t)parent * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
    return hash * 0xbf58476d1ce4e5b9u >> 13;
}

static void *image_double(struct arena *arena, const void *old, uint32_t count, uint32_t *room,
                          size_t size)
{
    uint32_t bigger = *room == 0 ? 64 : *room * 2;
    void *memory = *room > UINT32_MAX / 4 ? NULL : arena_alloc(arena, bigger, size);

    if (memory == NULL) {
        return NULL;
    }
    if (count > 0) {
        memcpy(memory, old, count * size);
    }
    *room = bigger;
    return memory;
}

static uint32_t image_node_new(struct image_index *index, uint32_t parent, struct bytes component)
{
    struct image_node *node;

    if (index->node_count == index->node_room) {
        void *more = image_double(index->arena, index->nodes, index->node_count, &index->node_room,
                                  sizeof(*index->nodes));

        if (more == NULL) {
            return IMAGE_NONE;
        }
        index->nodes = more;
    }
    node = &index->nodes[index->node_count];
    memset(node, 0, sizeof(*node));
    node->terminals = IMAGE_NONE;
    node->globs = IMAGE_NONE;
    node->next_glob = IMAGE_NONE;
    node->globstar = IMAGE_NONE;
    node->parent = parent;
    node->component = component;
    node->hash = image_hash(component);
    return index->node_count++;
}

struct image_index *image_index_new(struct arena *arena)
{
    struct image_index *index = arena_alloc(arena, 1, sizeof(*index));

    if (index == NULL) {
        return NULL;
    }
    index->arena = arena;
    return image_node_new(index, IMAGE_NONE, (struct bytes){0}) == IMAGE_NONE ? NULL : index;
}

static void image_slot_put(struct image_index *index, uint32_t id)
{
    const struct image_node *node = &index->nodes[id];
    uint32_t mask = index->slot_count - 1;
    uint32_t at = (uint32_t)image_mix(node->parent, node->hash) & mask;

    while (index->slots[at] != IMAGE_NONE) {
        at = (at + 1) & mask;
    }
    index->slots[at] = id;
}

static bool image_slots_grow(struct image_index *index)
{
    uint32_t *old = index->slots;
    uint32_t old_count = index->slot_count;

    if (old_count > 0 && index->literal_count * 2 < old_count) {
        return true;
    }
    index->slot_count = old_count == 0 ? 128 : old_count * 2;
    index->slots = arena_alloc(index->arena, index->slot_count, sizeof(*index->slots));
    if (index->slots == NULL) {
        return false;
    }
    memset(index->slots, 0xff, index->slot_count * sizeof(*index->slots));
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i] != IMAGE_NONE) {
            image_slot_put(index, old[i]);
        }
    }
    return true;
}

static uint32_t image_literal_get(const struct image_index *index, uint32_t parent,
                                  struct bytes part, uint64_t hash)
{
    uint32_t mask = index->slot_count - 1;
    uint32_t at;

    if (index->slot_count == 0) {
        return IMAGE_NONE;
    }
    at = (uint32_t)image_mix(parent, hash) & mask;
    while (index->slots[at] != IMAGE_NONE) {
        const struct image_node *node = &index->nodes[index->slots[at]];

        if (node->parent == parent && node->hash == hash && bytes_equal(node->component, part)) {
            return index->slots[at];
        }
        at = (at + 1) & mask;
    }
    return IMAGE_NONE;
}

static uint32_t image_literal_put(struct image_index *index, uint32_t parent, struct bytes part)
{
    uint32_t id = image_literal_get(index, parent, part, image_hash(part));

    if (id != IMAGE_NONE) {
        return id;
    }
    if (!image_slots_grow(index)) {
        return IMAGE_NONE;
    }
    id = image_node_new(index, parent, part);
    if (id != IMAGE_NONE) {
        image_slot_put(index, id);
        index->literal_count++;
    }
    return id;
}

static uint32_t image_glob_put(struct image_index *index, uint32_t parent, struct bytes part)
{
    uint32_t id = index->nodes[parent].globs;

    while (id != IMAGE_NONE && !bytes_equal(index->nodes[id].component, part)) {
        id = index->nodes[id].next_glob;
    }
    if (id == IMAGE_NONE) {
        id = image_node_new(index, parent, part);
        if (id != IMAGE_NONE) {
            index->nodes[id].next_glob = index->nodes[parent].globs;
            index->nodes[parent].globs = id;
        }
    }
    return id;
}

static uint32_t image_child_put(struct image_index *index, uint32_t parent, struct bytes part)
{
    if (bytes_equal_cstr(part, "**")) {
        if (index->nodes[parent].globstar == IMAGE_NONE) {
            uint32_t id = image_node_new(index, parent, part);

            index->nodes[parent].globstar = id;
        }
        return index->nodes[parent].globstar;
    }
    if (bytes_find(part, BYTES_LITERAL("*")) != SIZE_MAX) {
        return image_glob_put(index, parent, part);
    }
    return image_literal_put(index, parent, part);
}

bool image_index_add(struct image_index *index, const struct image_pattern *pattern, uint32_t id,
                     struct gh_error *err)
{
    struct bytes rest = bytes_of(pattern->text);
    struct image_terminal *terminal;
    uint32_t node = 0;

    for (bool is_more = true; is_more;) {
        struct bytes part;

        is_more = bytes_split(&rest, '/', &part);
        node = image_child_put(index, node, is_more ? part : rest);
        if (node == IMAGE_NONE) {
            return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the index of patterns");
        }
    }
    if (index->terminal_count == index->terminal_room) {
        void *more = image_double(index->arena, index->terminals, index->terminal_count,
                                  &index->terminal_room, sizeof(*index->terminals));

        if (more == NULL) {
            return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the index of patterns");
        }
        index->terminals = more;
    }
    terminal = &index->terminals[index->terminal_count];
    terminal->id = id;
    terminal->digest = pattern->digest;
    index->pinned |= 1u << pattern->digest.alg;
    terminal->next = index->nodes[node].terminals;
    index->nodes[node].terminals = index->terminal_count++;
    return true;
}

bool image_index_pins(const struct image_index *index, enum digest_alg alg)
{
    return (index->pinned & 1u << alg) != 0;
}

static void image_report(struct image_search *search, const struct image_node *node)
{
    for (uint32_t at = node->terminals; at != IMAGE_NONE;) {
        const struct image_terminal *terminal = &search->index->terminals[at];

        if (terminal->digest.alg == DIGEST_NONE ||
            (search->digest != NULL && digest_equal(&terminal->digest, search->digest))) {
            if (search->found < search->room) {
                search->out[search->found] = terminal->id;
            }
            search->found++;
        }
        at = terminal->next;
    }
}

/* Depth is bounded by the components of the longest pattern. */
static void image_walk(struct image_search *search, uint32_t id, size_t at)
{
    const struct image_node *node = &search->index->nodes[id];
    uint32_t child;

    if (at == search->part_count) {
        image_report(search, node);
        return;
    }
    child = image_literal_get(search->index, id, search->parts[at], search->hashes[at]);
    if (child != IMAGE_NONE) {
        image_walk(search, child, at + 1);
    }
    for (child = node->globs; child != IMAGE_NONE; child = search->index->nodes[child].next_glob) {
        if (image_component_match(search->index->nodes[child].component, search->parts[at])) {
            image_walk(search, child, at + 1);
        }
    }
    if (node->globstar != IMAGE_NONE) {
        const struct image_node *star = &search->index->nodes[node->globstar];

        /* A `**` at the end takes all that is left; only one with something behind it is tried at
         * each place. */
        image_report(search, star);
        for (size_t next = at + 1; next < search->part_count; next++) {
            const struct image_node *behind = star;

            if (behind->globs == IMAGE_NONE && behind->globstar == IMAGE_NONE &&
                image_literal_get(search->index, node->globstar, search->parts[next],
                                  search->hashes[next]) == IMAGE_NONE) {
                continue;
            }
            image_walk(search, node->globstar, next);
        }
    }
}

size_t image_index_match(const struct image_index *index, const char *name,
                         const struct digest *digest, uint32_t *out, size_t room)
{
    struct image_search search; /* not zeroed as a whole: this is on the path of every answer */
    struct bytes rest = bytes_of(name);

    search.index = index;
    search.digest = digest;
    search.out = out;
    search.room = room;
    search.found = 0;
    search.part_count = 0;
    for (bool is_more = true; is_more;) {
        struct bytes part;

        if (search.part_count == IMAGE_MAX_COMPONENTS) {
            return 0; /* no name has as many */
        }
        is_more = bytes_split(&rest, '/', &part);
        if (!is_more) {
            part = rest;
        }
        search.parts[search.part_count] = part;
        search.hashes[search.part_count++] = image_hash(part);
    }
    image_walk(&search, 0, 0);
    return search.found;
}
