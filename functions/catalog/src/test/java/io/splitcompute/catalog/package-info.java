/** Tests of the catalog, on Netty and as Lambda runs it. */
@NullMarked
package io.splitcompute.catalog;

import org.jspecify.annotations.NullMarked;
