"""The art of waiting: each backend parks connections and chooses who runs them.  They know no HTTP."""
