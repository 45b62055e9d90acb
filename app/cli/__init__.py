"""The commands of ``affectscope``, grouped by what they work on."""
