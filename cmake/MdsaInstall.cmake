# cmake --install: the library, its headers, the package that find_package(mdsa) finds, and the command line.
# The components let a wheel leave them out.
include(CMakePackageConfigHelpers)

set(MDSA_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/mdsa)
install(TARGETS mdsa EXPORT mdsaTargets COMPONENT mdsa_library
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/mdsa DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT mdsa_library)
install(EXPORT mdsaTargets NAMESPACE mdsa:: DESTINATION ${MDSA_CMAKE_DIR} COMPONENT mdsa_library)

# A shared library brings what it is linked with; a static one needs it at the application's link.
if(BUILD_SHARED_LIBS)
  set(MDSA_IS_STATIC OFF)
else()
  set(MDSA_IS_STATIC ON)
endif()
configure_package_config_file(cmake/mdsaConfig.cmake.in ${PROJECT_BINARY_DIR}/mdsaConfig.cmake
                              INSTALL_DESTINATION ${MDSA_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mdsaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mdsaConfig.cmake ${PROJECT_BINARY_DIR}/mdsaConfigVersion.cmake
        DESTINATION ${MDSA_CMAKE_DIR} COMPONENT mdsa_library)

if(TARGET mdsa_cli)
  set_target_properties(mdsa_cli PROPERTIES INSTALL_RPATH $ORIGIN/../${CMAKE_INSTALL_LIBDIR})
  install(TARGETS mdsa_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT mdsa_cli)
endif()
