/*
 * Pieces of the configuration under construction: names, blocks, files, identities.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "crypto/key.h"
#include "crypto/pattern.h"
#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/import_work.h"

#define IMPORT_MAX_NAME_BYTES 100
#define IMPORT_MAX_KEYS 32

char *import_printf(struct import_work *work, const char *format, ...)
{
    char *out = NULL;
    va_list args;
    char small[512];
    int len;

    va_start(args, format);
    len = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (len >= 0 && (size_t)len < sizeof(small)) {
        out = arena_copy(work->arena, small, (size_t)len);
    } else if (len >= 0 && (size_t)len < IMPORT_MAX_OUTPUT_BYTES) {
        out = arena_alloc(work->arena, (size_t)len + 1, 1);
        if (out != NULL) {
            va_start(args, format);
            (void)vsnprintf(out, (size_t)len + 1, format, args);
            va_end(args);
        }
    }
    if (out == NULL) {
        work->is_exhausted = true;
        return work->nothing;
    }
    return out;
}

const char *import_quote(struct import_work *work, const char *text)
{
    struct text out;
    const char *copy;

    text_init(&out, IMPORT_MAX_OUTPUT_BYTES);
    text_put_json(&out, text == NULL ? "" : text);
    copy = text_ok(&out) ? arena_string(work->arena, text_cstr(&out)) : NULL;
    text_done(&out);
    if (copy == NULL) {
        work->is_exhausted = true;
        return "\"\"";
    }
    return copy;
}

void import_append(struct import_work *work, struct import_strings *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], text) == 0) {
            return;
        }
    }
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 8 : list->room * 2;
        const char **items = arena_alloc(work->arena, room, sizeof(*items));

        if (items == NULL || room > 2 * IMPORT_MAX_PATTERNS) {
            work->is_exhausted = true;
            return;
        }
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof(*items));
        }
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = text;
}

const char *import_name(struct import_work *work, const char *text)
{
    char *out = import_printf(work, "%.*s", IMPORT_MAX_NAME_BYTES, text);

    for (char *c = out; *c != '\0'; c++) {
        bool is_word =
            (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');

        if (!is_word && (c == out || strchr("._@+-", *c) == NULL)) {
            *c = c == out ? 'x' : '-';
        }
    }
    return out[0] == '\0' ? "unnamed" : out;
}

static const char *import_block_add(struct import_work *work, struct import_blocks *blocks,
                                    const char *preferred, const char *body)
{
    const char *name = import_name(work, preferred);
    unsigned twin = 2;

    for (size_t i = 0; i < blocks->count; i++) {
        if (strcmp(blocks->items[i].body, body) == 0) {
            return blocks->items[i].name;
        }
    }
    for (size_t i = 0; i < blocks->count; i++) {
        if (strcmp(blocks->items[i].name, name) == 0) {
            name = import_printf(work, "%s-%u", import_name(work, preferred), twin++);
            i = SIZE_MAX; /* look again from the start */
        }
    }
    if (blocks->count == blocks->room) {
        size_t room = blocks->room == 0 ? 16 : blocks->room * 2;
        struct import_block *items = arena_alloc(work->arena, room, sizeof(*items));

        if (items == NULL || room > 2 * IMPORT_MAX_POLICIES) {
            work->is_exhausted = true;
            return name;
        }
        if (blocks->count > 0) {
            memcpy(items, blocks->items, blocks->count * sizeof(*items));
        }
        blocks->items = items;
        blocks->room = room;
    }
    blocks->items[blocks->count++] = (struct import_block){name, body};
    return name;
}

const char *import_root_add(struct import_work *work, const char *preferred, const char *body)
{
    return import_block_add(work, &work->roots, preferred, body);
}

const char *import_signer_add(struct import_work *work, const char *preferred, const char *body)
{
    return import_block_add(work, &work->signers, preferred, body);
}

struct import_policy *import_policy_add(struct import_work *work, struct import_at at,
                                        const char *name)
{
    struct import_policy *policy;

    if (work->policy_count == work->policy_room) {
        size_t room = work->policy_room == 0 ? 16 : work->policy_room * 2;
        struct import_policy *items = arena_alloc(work->arena, room, sizeof(*items));

        if (items == NULL || room > 2 * IMPORT_MAX_POLICIES) {
            work->is_exhausted = true;
            return &work->spare;
        }
        if (work->policy_count > 0) {
            memcpy(items, work->policies, work->policy_count * sizeof(*items));
        }
        work->policies = items;
        work->policy_room = room;
    }
    name = import_name(work, name);
    for (size_t i = 0, twin = 2; i < work->policy_count; i++) {
        if (strcmp(work->policies[i].name, name) == 0) {
            name = import_printf(work, "%s-%zu", name, twin++);
            i = SIZE_MAX;
        }
    }
    policy = &work->policies[work->policy_count++];
    *policy = (struct import_policy){.name = name, .at = at, .mode = "deny"};
    return policy;
}

/* --- key material ------------------------------------------------------------------------- */

const char *import_file_add(struct import_work *work, struct import_at at, const char *stem,
                            const char *suffix, struct bytes content)
{
    struct import_result *result = work->result;
    const char *name = import_printf(work, "%s%s", import_name(work, stem), suffix);
    char *copy;

    if (!work->request->can_write_files) {
        (void)import_refuse(work, at,
                            "it stands inline, and configurations name files; give --out DIR, and "
                            "it is written to %s",
                            name);
        return NULL;
    }
    for (size_t i = 0, twin = 2; i < result->file_count; i++) {
        if (bytes_equal(result->files[i].content, content)) {
            return result->files[i].name;
        }
        if (strcmp(result->files[i].name, name) == 0) {
            name = import_printf(work, "%s-%zu%s", import_name(work, stem), twin++, suffix);
            i = SIZE_MAX;
        }
    }
    if (result->files == NULL) {
        result->files = arena_alloc(work->arena, IMPORT_MAX_FILES, sizeof(*result->files));
    }
    copy = arena_copy(work->arena, content.data, content.len);
    if (result->files == NULL || copy == NULL || result->file_count == IMPORT_MAX_FILES) {
        work->is_exhausted = true;
        return NULL;
    }
    result->files[result->file_count++] = (struct import_file){name, bytes_make(copy, content.len)};
    return name;
}

bool import_keys(struct import_work *work, struct import_at at, const char *stem, const char *text,
                 struct import_strings *out)
{
    static const char end_mark[] = "-----END PUBLIC KEY-----";
    size_t count = 0;

    while (text[strspn(text, " \t\r\n")] != '\0') {
        const char *begin = text + strspn(text, " \t\r\n");
        const char *end = strstr(begin, end_mark);
        GH_OWN(key_freep) struct key *key = NULL;
        struct gh_error err = {0};
        const char *path;
        const char *pem;

        if (end == NULL || ++count > IMPORT_MAX_KEYS) {
            return import_refuse(work, at, "expected public keys as PEM, at most %d",
                                 IMPORT_MAX_KEYS);
        }
        text = end + strlen(end_mark);
        pem = import_printf(work, "%.*s\n", (int)(text - begin), begin);
        if (!key_parse_pem(bytes_of(pem), &key, &err)) {
            return import_refuse(work, at, "expected a public key as PEM: %s", err.text);
        }
        path = import_file_add(work, at, stem, ".pub", bytes_of(pem));
        if (path == NULL) {
            return false;
        }
        import_append(work, out, path);
    }
    return out->count > 0 || import_refuse(work, at, "expected a public key as PEM");
}

const char *import_combine(struct import_work *work, const char *kind,
                           const struct import_strings *items)
{
    const char *list = "";

    if (items->count == 1) {
        return items->items[0];
    }
    for (size_t i = 0; i < items->count; i++) {
        list = import_printf(work, "%s%s%s", list, i > 0 ? ", " : "", items->items[i]);
    }
    return import_printf(work, "{%s: [%s]}", kind, list);
}

const char *import_sigstore_root(struct import_work *work, struct import_at at, const char *name)
{
    const char *path = import_setting(work, "root", name);
    const char *initial = import_setting(work, "initial-root", NULL);

    if (path != NULL) {
        return import_root_add(work, strcmp(name, "public") == 0 ? "sigstore" : name,
                               import_printf(work, "{trusted_root: %s}", import_quote(work, path)));
    }
    if (strcmp(name, "public") == 0) {
        return import_root_add(
            work, "sigstore",
            import_printf(work, "{tuf: \"https://tuf-repo-cdn.sigstore.dev\", initial_root: %s}",
                          import_quote(work, initial == NULL ? "sigstore-root.json" : initial)));
    }
    (void)import_refuse(work, at,
                        "trust material of its own; write it as a trusted_root.json and give "
                        "--set root:%.60s=FILE",
                        name);
    return NULL;
}

/* --- identities --------------------------------------------------------------------------- */

/* What RE2 and PCRE2 read alike; everything else could match something else here. */
static bool import_regex_is_common(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\\') {
            c++;
            if (*c == '\0' || strchr("dDwWsSbB.+*?()[]{}|^$/\\-:@_#&=~%, \"'<>!;", *c) == NULL) {
                return false;
            }
        } else if (*c == '(' && c[1] == '?' && c[2] != ':') {
            return false;
        } else if ((*c == '*' || *c == '+' || *c == '?' || *c == '}') && c[1] == '+') {
            return false; /* possessive there, an error here */
        } else if (*c == '[' && c[1] == ':') {
            return false;
        }
    }
    return true;
}

const char *import_regex(struct import_work *work, struct import_at at, const char *text)
{
    size_t len = strlen(text);
    bool is_anchored = len > 1 && text[0] == '^' && text[len - 1] == '$' && text[len - 2] != '\\' &&
                       strchr(text, '|') == NULL;
    const char *whole = is_anchored ? text : import_printf(work, "(?s:.*)(?:%s)(?s:.*)", text);
    struct pattern *pattern = NULL;
    struct pattern *alone = NULL;
    struct gh_error err = {0};

    if (!import_regex_is_common(text)) {
        (void)import_refuse(work, at,
                            "the regular expression uses a construct that could mean something "
                            "else here; write it with classes, groups and alternatives only");
        return NULL;
    }
    /* Alone, too: an unbalanced expression could close the group around it. */
    if (!pattern_new(PATTERN_REGEX, bytes_of(text), &alone, &err) ||
        !pattern_new(PATTERN_REGEX, bytes_of(whole), &pattern, &err)) {
        (void)import_refuse(work, at, "not a regular expression: %s", err.text);
        pattern_free(alone);
        return NULL;
    }
    pattern_free(alone);
    pattern_free(pattern);
    if (!is_anchored) {
        (void)import_say(work, IMPORT_T, at,
                         "it matches anywhere in the text, and does so here; ^ and $ around it "
                         "would be safer");
    }
    return whole;
}

const char *import_either(struct import_work *work, struct import_at at, const char *key,
                          const char *suffix)
{
    struct import_at plain = import_get(work, at, key);
    struct import_at regex = import_get(work, at, import_printf(work, "%s%s", key, suffix));
    const char *text;

    if ((plain.node == NULL) == (regex.node == NULL)) {
        (void)import_refuse(work, at, "expected exactly one of %s and %s%s", key, key, suffix);
        return NULL;
    }
    if (regex.node != NULL) {
        text = import_need(work, regex);
        text = text == NULL ? NULL : import_regex(work, regex, text);
        return text == NULL ? NULL
                            : import_printf(work, "%s_regex: %s", key, import_quote(work, text));
    }
    text = import_need(work, plain);
    if (text != NULL && strchr(text, '*') != NULL) {
        (void)import_refuse(work, plain, "a * would be a pattern here; write %s%s", key, suffix);
        return NULL;
    }
    return text == NULL ? NULL : import_printf(work, "%s: %s", key, import_quote(work, text));
}

const char *import_wildcard(struct import_work *work, struct import_at at, const char *key,
                            const char *text)
{
    struct text out;
    const char *body;

    (void)at;
    if (strpbrk(text, "*?") == NULL) {
        return import_printf(work, "%s: %s", key, import_quote(work, text));
    }
    text_init(&out, 65536);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '*') {
            text_put(&out, ".*");
        } else if (*c == '?') {
            text_put(&out, ".");
        } else {
            text_put(&out, strchr("\\.+()[]{}|^$", *c) == NULL ? "" : "\\");
            text_put_char(&out, *c);
        }
    }
    work->is_exhausted = work->is_exhausted || !text_ok(&out);
    body = import_printf(work, "%s_regex: %s", key, import_quote(work, text_cstr(&out)));
    text_done(&out);
    return body;
}
