#include "proxy/settled.h"

#include <string.h>

#include "policy/config.h"

static bool settled_texts_differ(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a != b : strcmp(a, b) != 0;
}

static bool settled_listener_differs(const struct config_tls *a, const struct config_tls *b)
{
    return (a == NULL) != (b == NULL); /* which files, is read anew */
}

static bool settled_listen_differs(const struct config_listens *a, const struct config_listens *b)
{
    bool differs = a->count != b->count;

    for (size_t i = 0; i < a->count && !differs; i++) {
        differs = strcmp(a->items[i].address, b->items[i].address) != 0 ||
                  settled_listener_differs(a->items[i].tls, b->items[i].tls);
    }
    return differs;
}

size_t settled_each(const struct config *started, const struct config *now, settled_fn fn,
                    void *arg)
{
    const struct {
        const char *name;
        bool differs;
    } rows[] = {
        {"listen", settled_listen_differs(&started->listen, &now->listen)},
        {"admin.address", settled_texts_differ(started->admin.address, now->admin.address)},
        {"admin.tls", settled_listener_differs(started->admin.tls, now->admin.tls)},
        {"workers", started->workers != now->workers},
        {"storage.path", settled_texts_differ(started->storage.path, now->storage.path)},
        {"storage.max_size", started->storage.max_size_bytes != now->storage.max_size_bytes},
        {"limits.header_timeout", started->limits.header_timeout_s != now->limits.header_timeout_s},
        {"limits.idle_timeout", started->limits.idle_timeout_s != now->limits.idle_timeout_s},
        {"audit.path", settled_texts_differ(started->audit.path, now->audit.path)},
        {"audit.checkpoint_key",
         settled_texts_differ(started->audit.checkpoint_key, now->audit.checkpoint_key)},
        {"audit.checkpoint_every",
         started->audit.checkpoint_every_s != now->audit.checkpoint_every_s},
    };
    size_t count = 0;

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        if (rows[i].differs) {
            fn(rows[i].name, arg);
            count++;
        }
    }
    return count;
}
