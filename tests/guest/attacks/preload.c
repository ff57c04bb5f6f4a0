/* A library that nobody signed, for LD_PRELOAD: it says that it runs before the program does. */

#include <unistd.h>

__attribute__((constructor)) static void start(void) {
    static const char said[] = "attacked\n";
    if (write(1, said, sizeof said - 1) < 0)
        _exit(1);
}
