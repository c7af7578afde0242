/*
 * Image patterns of other tools as patterns of the configuration. Where `*` may also stand for
 * slashes, one pattern becomes several.
 */
#include <stdio.h>
#include <string.h>

#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/image.h"
#include "policy/import_work.h"

#define IMPORT_MAX_ALTERNATIVES 64

/* Remember the upstream of a literal pattern. False where no name could lead to it. */
static bool import_upstream_of(struct import_work *work, const char *pattern)
{
    size_t len = strcspn(pattern, "/");
    const char *upstream = import_printf(work, "%.*s", (int)len, pattern);

    if (strchr(upstream, '*') != NULL) {
        return true;
    }
    if (strpbrk(upstream, ".:") == NULL && strcmp(upstream, "localhost") != 0) {
        return false;
    }
    import_append(work, &work->upstreams, image_upstream_alias(upstream));
    return true;
}

bool import_pattern_add(struct import_work *work, struct import_at at, const char *pattern,
                        struct import_strings *out)
{
    struct image_pattern parsed;
    struct gh_error err = {0};

    if (!image_pattern_parse(bytes_of(pattern), work->arena, &parsed, &err)) {
        return import_refuse(work, at, "\"%.120s\" cannot be a pattern: %s", pattern, err.text);
    }
    if (!import_upstream_of(work, pattern)) {
        return import_refuse(work, at,
                             "\"%.120s\" begins with no registry's name, which has a dot or a "
                             "port; write the whole name",
                             pattern);
    }
    import_append(work, out, pattern);
    return true;
}

/* Any tag, or any digest: `>` stands for a `*` that crosses. */
static bool import_is_any(const char *text)
{
    text += strncmp(text, "sha256:", 7) == 0 ? 7 : 0;
    return strcmp(text, "*") == 0 || strcmp(text, ">") == 0;
}

/* Cut tag and digest patterns off; *digest holds a full digest or NULL. */
static bool import_cut_tag(struct import_work *work, struct import_at at, char *text,
                           enum import_class tags, const char **digest)
{
    char *slash = strrchr(text, '/');
    char *mark = strchr(slash == NULL ? text : slash, '@');
    bool is_all = true;

    *digest = NULL;
    if (mark != NULL) {
        *mark = '\0';
        if (strncmp(mark + 1, "sha256:", 7) == 0 && strlen(mark + 1) == 71 &&
            strpbrk(mark + 1, "*?") == NULL) {
            *digest = mark + 1;
        } else {
            is_all = import_is_any(mark + 1);
        }
    }
    mark = slash == NULL ? NULL : strchr(slash, ':');
    if (mark != NULL) {
        *mark = '\0';
        is_all = is_all && (import_is_any(mark + 1) || *digest != NULL);
    }
    if (!is_all && tags == IMPORT_X) {
        return import_refuse(work, at,
                             "it is about some tags, which move; write the repository, or "
                             "NAME@sha256:…");
    }
    if (!is_all) {
        (void)import_say(work, IMPORT_A, at,
                         "tags move, so that it is asked of every tag of the repository");
    }
    return true;
}

struct import_expansion {
    struct import_work *work;
    struct import_strings out;
};

/* DONE is settled; REST holds `>` where a run may cross slashes. Depth: one per `>`. */
static void import_expand(struct import_expansion *run, const char *done, const char *rest,
                          unsigned depth)
{
    size_t plain = strcspn(rest, ">");
    const char *left = import_printf(run->work, "%s%.*s", done, (int)plain, rest);
    bool is_start;
    bool is_end;

    if (rest[plain] == '\0' || depth == 0) {
        import_append(run->work, &run->out, left);
        return;
    }
    rest += plain + 1;
    is_start = left[0] == '\0' || left[strlen(left) - 1] == '/';
    is_end = rest[0] == '\0' || rest[0] == '/';
    if (run->out.count > IMPORT_MAX_ALTERNATIVES) {
        return;
    }
    if (is_start && is_end) {
        import_expand(run, import_printf(run->work, "%s**", left), rest, depth - 1);
        return;
    }
    import_expand(run, import_printf(run->work, "%s*", left), rest, depth - 1);
    if (is_start) {
        import_expand(run, import_printf(run->work, "%s**/*", left), rest, depth - 1);
    } else if (is_end) {
        import_expand(run, import_printf(run->work, "%s*/**", left), rest, depth - 1);
    } else {
        import_expand(run, import_printf(run->work, "%s*/*", left), rest, depth - 1);
        import_expand(run, import_printf(run->work, "%s*/**/*", left), rest, depth - 1);
    }
}

/* `*` and `**` by the format's rule: `>` crosses, `*` does not. */
static char *import_stars(struct import_work *work, const char *text, enum import_star star)
{
    char *out = import_printf(work, "%s", text);
    size_t used = 0;

    for (const char *c = text; *c != '\0'; c++) {
        bool is_double = c[0] == '*' && c[1] == '*';

        if (*c != '*') {
            out[used++] = *c;
            continue;
        }
        out[used] = is_double || star == IMPORT_STAR_CROSSES ? '>' : '*';
        used += used > 0 && out[used - 1] == '>' && out[used] == '>' ? 0 : 1;
        c += is_double ? 1 : 0;
    }
    out[used] = '\0';
    return out;
}

bool import_pattern(struct import_work *work, struct import_at at, const char *text,
                    enum import_star star, enum import_class tags, struct import_strings *out)
{
    struct import_expansion run = {.work = work};
    const char *digest;
    char *stars = import_stars(work, text, star);
    size_t before = out->count;
    bool is_good = true;

    if (strchr(text, '?') != NULL || strchr(text, '>') != NULL || strlen(text) > 400) {
        return import_refuse(work, at, "\"%.100s\": write the pattern with * alone", text);
    }
    if (!import_cut_tag(work, at, stars, tags, &digest)) {
        return false;
    }
    import_expand(&run, "", stars, 4);
    for (size_t i = 0; i < run.out.count; i++) {
        const char *pattern = run.out.items[i];
        bool is_name = strchr(pattern, '/') != NULL || strcmp(pattern, "**") == 0;

        if (!is_name && run.out.count > 1) {
            continue; /* one component is never the name of an image */
        }
        if (digest != NULL) {
            pattern = import_printf(work, "%s@%s", pattern, digest);
        }
        is_good = import_pattern_add(work, at, pattern, out) && is_good;
        /* Docker Hub is docker.io here, and index.docker.io to some. */
        if (strchr(pattern, '*') < strchr(pattern, '/') && strchr(pattern, '*') != NULL &&
            strchr(pattern, '/') != NULL) {
            struct bytes host = bytes_make(pattern, strcspn(pattern, "/"));

            if (image_component_match(host, bytes_of("index.docker.io")) &&
                !image_component_match(host, bytes_of("docker.io"))) {
                is_good =
                    import_pattern_add(
                        work, at, import_printf(work, "docker.io%s", strchr(pattern, '/')), out) &&
                    is_good;
            }
        }
    }
    return is_good && (out->count > before || run.out.count > 0);
}
