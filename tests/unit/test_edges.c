#include "cache/edges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/store_fixture.h"

static const struct cache_scope scope = {"default", "ghcr.io", "acme/app"};

static void put_one(struct edges *edges, const char *parent, const char *child, enum edge_kind kind)
{
    struct digest p = digest_of(bytes_of(parent));
    struct edge_child c = {.digest = digest_of(bytes_of(child)),
                           .kind = kind,
                           .size_bytes = 12,
                           .media_type = BYTES_LITERAL("application/child")};
    struct gh_error err = {0};

    assert_true(
        edges_put(edges, &scope, &p, BYTES_LITERAL("application/parent"), &c, 1, NOW, &err));
}

static void edges_put_parent_found_before_and_after_commit(void **state)
{
    struct fixture *f = *state;
    GH_OWN(edges_freep) struct edges *edges = NULL;
    struct digest child = digest_of(bytes_of("layer"));
    struct digest parent = digest_of(bytes_of("manifest"));

    assert_true(edges_new(f->store, &edges, NULL));
    put_one(edges, "manifest", "layer", EDGE_LAYER);
    for (int i = 0; i < 2; i++) {
        struct edge_list list = {0};

        assert_true(edges_get(edges, &scope, &child, NOW, &list));
        assert_int_equal(list.count, 1);
        assert_true(digest_equal(&list.parents[0].digest, &parent));
        assert_int_equal(list.parents[0].kind, EDGE_LAYER);
        assert_int_equal(list.parents[0].size_bytes, 12);
        assert_string_equal(list.parents[0].media_type, "application/parent");
        assert_string_equal(list.parents[0].child_media_type, "application/child");
        edge_list_done(&list);
        store_flush(f->store);
    }
}

static void edges_get_other_scope_absent(void **state)
{
    struct fixture *f = *state;
    GH_OWN(edges_freep) struct edges *edges = NULL;
    struct digest child = digest_of(bytes_of("layer"));
    static const struct cache_scope others[] = {{"labs", "ghcr.io", "acme/app"},
                                                {"default", "docker.io", "acme/app"},
                                                {"default", "ghcr.io", "acme/other"},
                                                {"default", "ghcr.ioacme", "/app"}};
    struct edge_list list = {0};

    assert_true(edges_new(f->store, &edges, NULL));
    put_one(edges, "manifest", "layer", EDGE_LAYER);
    for (size_t i = 0; i < GH_COUNT(others); i++) {
        assert_false(edges_get(edges, &others[i], &child, NOW, &list));
    }
}

static void edges_put_many_parents_newest_first_bounded(void **state)
{
    struct fixture *f = *state;
    GH_OWN(edges_freep) struct edges *edges = NULL;
    struct digest child = digest_of(bytes_of("base"));
    struct edge_list list = {0};
    struct digest first = digest_of(bytes_of("parent-0"));

    assert_true(edges_new(f->store, &edges, NULL));
    for (int i = 0; i <= EDGES_MAX_PARENTS; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "parent-%d", i);
        put_one(edges, name, "base", EDGE_LAYER);
        if (i == EDGES_MAX_PARENTS - 1) {
            put_one(edges, "parent-0", "base",
                    EDGE_LAYER); /* served again: it moves to the front */
        }
    }
    assert_true(edges_get(edges, &scope, &child, NOW, &list));
    assert_int_equal(list.count, EDGES_MAX_PARENTS);
    assert_true(digest_equal(&list.parents[1].digest, &first));
    edge_list_done(&list);
}

static void edges_put_same_digest_twice_both_kept(void **state)
{
    struct fixture *f = *state;
    GH_OWN(edges_freep) struct edges *edges = NULL;
    struct digest parent = digest_of(bytes_of("manifest"));
    struct edge_child children[3] = {
        {.digest = digest_of(bytes_of("x")), .kind = EDGE_CONFIG, .size_bytes = 1},
        {.digest = digest_of(bytes_of("y")), .kind = EDGE_LAYER, .size_bytes = 1},
        {.digest = digest_of(bytes_of("x")), .kind = EDGE_LAYER, .size_bytes = 1}};
    struct edge_list list = {0};
    struct gh_error err = {0};

    assert_true(edges_new(f->store, &edges, NULL));
    assert_true(edges_put(edges, &scope, &parent, BYTES_LITERAL("p"), children, 3, NOW, &err));
    assert_true(edges_get(edges, &scope, &children[0].digest, NOW, &list));
    assert_int_equal(list.count, 2);
    edge_list_done(&list);
}

static void edges_put_known_writes_nothing(void **state)
{
    struct fixture *f = *state;
    GH_OWN(edges_freep) struct edges *edges = NULL;
    struct store_stats before;
    struct store_stats after;

    assert_true(edges_new(f->store, &edges, NULL));
    put_one(edges, "manifest", "layer", EDGE_LAYER);
    store_flush(f->store);
    store_stats(f->store, &before);
    put_one(edges, "manifest", "layer", EDGE_LAYER);
    store_stats(f->store, &after);
    assert_int_equal(after.batches, before.batches);
}

static void edges_put_past_limits_refused(void **state)
{
    struct fixture *f = *state;
    GH_OWN(edges_freep) struct edges *edges = NULL;
    struct digest parent = digest_of(bytes_of("manifest"));
    struct edge_child *children = calloc(EDGES_MAX_CHILDREN + 1, sizeof(*children));
    char type[EDGES_MAX_TYPE + 1];
    struct gh_error err = {0};

    memset(type, 'x', sizeof(type));
    assert_true(edges_new(f->store, &edges, NULL));
    assert_false(edges_put(edges, &scope, &parent, BYTES_LITERAL("p"), children,
                           EDGES_MAX_CHILDREN + 1, NOW, &err));
    assert_int_equal(err.cause, GH_COUNT_LIMIT_EXCEEDED);
    gh_error_clear(&err);
    assert_false(
        edges_put(edges, &scope, &parent, bytes_make(type, sizeof(type)), children, 0, NOW, &err));
    assert_int_equal(err.cause, GH_SIZE_LIMIT_EXCEEDED);
    free(children);
}

struct flip {
    struct store_key key;
    struct bytes_buf value;
};

static bool take_value(struct bytes key, struct bytes value, void *arg)
{
    struct flip *flip = arg;

    memcpy(flip->key.bytes, key.data, sizeof(flip->key.bytes));
    return !bytes_dup(value, &flip->value, NULL);
}

static void edges_get_edited_value_absent(void **state)
{
    struct fixture *f = *state;
    GH_OWN(edges_freep) struct edges *edges = NULL;
    struct digest child = digest_of(bytes_of("layer"));
    struct edge_list list = {0};
    struct flip flip = {0};

    assert_true(edges_new(f->store, &edges, NULL));
    put_one(edges, "manifest", "layer", EDGE_LAYER);
    store_flush(f->store);
    store_walk(f->store, STORE_EDGES, bytes_make(NULL, 0), take_value, &flip);
    for (size_t i = 0; i < flip.value.len; i++) {
        struct store_batch *batch = NULL;

        flip.value.data[i] ^= 1;
        assert_true(store_batch_new(&batch, NULL));
        assert_true(store_batch_put(batch, STORE_EDGES, bytes_make(flip.key.bytes, 32),
                                    bytes_view(&flip.value), NULL));
        assert_true(store_submit(f->store, batch, NULL, NULL, NULL));
        assert_false(edges_get(edges, &scope, &child, NOW, &list));
        flip.value.data[i] ^= 1;
    }
    bytes_buf_done(&flip.value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(edges_put_parent_found_before_and_after_commit),
        CASE(edges_get_other_scope_absent),
        CASE(edges_put_many_parents_newest_first_bounded),
        CASE(edges_put_same_digest_twice_both_kept),
        CASE(edges_put_known_writes_nothing),
        CASE(edges_put_past_limits_refused),
        CASE(edges_get_edited_value_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
