#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "metrics/text.h"
#include "proxy/content.h"
#include "proxy/recent.h"
#include "proxy/target.h"

#define NOW 1795219200

static struct target target_of(const char *tenant, const char *repository)
{
    struct target target = {.tenant_name = tenant};

    (void)TEXT_JOIN(target.ref.upstream, "registry.test");
    (void)TEXT_JOIN(target.ref.repository, repository);
    return target;
}

static struct content *make_content(const char *text)
{
    struct digest digest;
    struct content *content;

    assert_true(digest_compute(DIGEST_SHA256, bytes_of(text), &digest, NULL));
    content = content_new(&digest, "application/vnd.oci.image.manifest.v1+json", bytes_of(text));
    assert_non_null(content);
    return content;
}

static struct recent *make_recent(void)
{
    struct recent *recent = NULL;

    assert_true(recent_new(&recent, NULL));
    return recent;
}

/* Whether TEXT is kept under KEY. */
static bool has(struct recent *recent, const struct recent_key *key, int64_t now, const char *text)
{
    struct recent_key copy = *key;
    struct content *content = NULL;
    int64_t confirmed;
    bool is_found = recent_get(recent, &copy, now, &content, &confirmed);
    bool is_it = is_found && content != NULL && bytes_equal_cstr(content->bytes, text);

    content_unref(content);
    return is_it;
}

static void recent_get_kept_found_until_its_time(void **state)
{
    struct recent *recent = make_recent();
    struct target target = target_of("main", "team/app");
    struct content *content = make_content("{}");
    struct content *found = NULL;
    struct recent_key key;
    int64_t confirmed = 0;

    recent_key_tag(&target, "v1", "", &key);
    assert_false(recent_get(recent, &key, NOW, &found, &confirmed));
    recent_put(recent, &key, content, NOW - 7, NOW);
    assert_true(recent_get(recent, &key, NOW + RECENT_KEPT_S - 1, &found, &confirmed));
    assert_ptr_equal(found, content);
    assert_int_equal(confirmed, NOW - 7);
    content_unref(found);
    assert_false(has(recent, &key, NOW + RECENT_KEPT_S, "{}"));
    assert_false(has(recent, &key, NOW - 1, "{}")); /* the clock was set back */
    content_unref(content);
    recent_free(recent);
}

static void recent_get_other_name_not_found(void **state)
{
    struct recent *recent = make_recent();
    struct target target = target_of("main", "team/app");
    const struct target others[] = {target_of("other", "team/app"), target_of("main", "team/ap"),
                                    target_of("main", "team/appv")};
    struct content *content = make_content("{}");
    struct recent_key key;
    struct recent_key other;
    struct content *none = NULL;
    int64_t confirmed;

    recent_key_tag(&target, "v1", "", &key);
    assert_false(recent_get(recent, &key, NOW, &none, &confirmed));
    recent_put(recent, &key, content, NOW, NOW);
    for (size_t i = 0; i < GH_COUNT(others); i++) {
        recent_key_tag(&others[i], "v1", "", &other);
        assert_false(has(recent, &other, NOW, "{}"));
    }
    recent_key_tag(&target, "1", "", &other);
    assert_false(has(recent, &other, NOW, "{}"));
    recent_key_tag(&target, "v1", "application/json", &other);
    assert_false(has(recent, &other, NOW, "{}"));
    recent_key_digest(&target, RECENT_MANIFEST, &content->digest, &other);
    assert_false(has(recent, &other, NOW, "{}"));
    assert_true(has(recent, &key, NOW, "{}"));
    content_unref(content);
    recent_free(recent);
}

static void recent_forget_name_gone(void **state)
{
    struct recent *recent = make_recent();
    struct target target = target_of("main", "team/app");
    struct content *content = make_content("{}");
    struct recent_key key;
    struct content *none = NULL;
    int64_t confirmed;

    recent_key_tag(&target, "v1", "", &key);
    assert_false(recent_get(recent, &key, NOW, &none, &confirmed));
    recent_put(recent, &key, content, NOW, NOW);
    recent_forget(recent, &key);
    assert_false(has(recent, &key, NOW, "{}"));
    assert_int_equal(content->references, 1);
    content_unref(content);
    recent_free(recent);
}

/* The store was read, then a tag was forgotten by somebody else: what was read is out of date. */
static void recent_put_after_forget_dropped(void **state)
{
    struct recent *recent = make_recent();
    struct target target = target_of("main", "team/app");
    struct content *content = make_content("{}");
    struct recent_key key;
    struct content *none = NULL;
    int64_t confirmed;

    recent_key_tag(&target, "v1", "", &key);
    assert_false(recent_get(recent, &key, NOW, &none, &confirmed));
    recent_forget(recent, &key);
    recent_put(recent, &key, content, NOW, NOW);
    assert_false(has(recent, &key, NOW, "{}"));
    content_unref(content);
    recent_free(recent);
}

static void recent_put_too_large_not_kept(void **state)
{
    static char text[RECENT_MAX_CONTENT_BYTES + 2];
    static char tag[RECENT_MAX_KEY + 1];
    struct recent *recent = make_recent();
    struct target target = target_of("main", "team/app");
    struct content *content;
    struct recent_key key;
    struct content *none = NULL;
    int64_t confirmed;

    recent_key_tag(&target, "v1", "", &key);
    assert_false(recent_get(recent, &key, NOW, &none, &confirmed));
    memset(text, ' ', sizeof(text) - 1);
    content = make_content(text);
    recent_put(recent, &key, content, NOW, NOW);
    assert_false(has(recent, &key, NOW, text));
    content_unref(content);
    text[RECENT_MAX_CONTENT_BYTES] = '\0';
    content = make_content(text);
    recent_put(recent, &key, content, NOW, NOW);
    assert_true(has(recent, &key, NOW, text));
    memset(tag, 'a', sizeof(tag) - 1);
    recent_key_tag(&target, tag, "", &key);
    recent_put(recent, &key, content, NOW, NOW);
    assert_false(has(recent, &key, NOW, text));
    recent_forget(recent, &key);
    content_unref(content);
    recent_free(recent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recent_get_kept_found_until_its_time),
        cmocka_unit_test(recent_get_other_name_not_found),
        cmocka_unit_test(recent_forget_name_gone),
        cmocka_unit_test(recent_put_after_forget_dropped),
        cmocka_unit_test(recent_put_too_large_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
