/* Keeps its standard output full, without a pause, for as long as somebody may read it. */
#include <string.h>
#include <unistd.h>

int main(void)
{
    static char text[65536];
    memset(text, 'x', sizeof text);
    while (write(1, text, sizeof text) > 0)
        continue;
    return 0;
}
